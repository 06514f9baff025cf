"""Fused attention by its definition: slow, and the oracle of all implementations."""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.dit.attention.mask import Tokens


def oracle(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = PAPER,
    rows_by_cudnn: bool = False,
) -> Tokens:
    """Compute all pairs of tokens under `allowed_frames`, and mask the forbidden ones."""
    _, views, frames, tokens, _, width = q.shape
    allowed = allowed_frames(views, frames, cross_half, mask)
    allowed = allowed.reshape(views * frames, -1)
    pairs = np.repeat(np.repeat(allowed, tokens, 0), tokens, 1)
    flat = [rearrange(x, "b v t s k d -> b k (v t s) d") for x in (q, k, v)]
    logits = jnp.einsum(
        "bknd,bkmd->bknm", *flat[:2], preferred_element_type=jnp.float32
    )
    logits = logits * width**-0.5
    weights = jax.nn.softmax(jnp.where(pairs, logits, -jnp.inf), -1)
    out = jnp.einsum("bknm,bkmd->bknd", weights.astype(v.dtype), flat[2])
    return rearrange(out, "b k (v t s) d -> b v t s k d", v=views, t=frames)


def with_gradients(attend):
    """The values of a function of q, k and v, and the gradients that a cotangent pulls back."""

    def both(q, k, v, cotangent):
        out, pull = jax.vjp(attend, q, k, v)
        return out, *pull(cotangent)

    return both
