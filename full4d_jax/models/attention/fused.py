"""Fused time-view attention: one softmax over everything that a token may see (Full-4D).

Frames are indexed by (view, t). With projection guidance as frames, t runs over two halves of f:
t < f are the frames to generate, t >= f the projected video. Token i may attend to token j if

    v_i = v_j                                   intra-view: all of its own view
    t_i = t_j                                   intra-time: all views at this instant
    t_i < f, t_j = t_i + f, v_j = source        cross-half: the input video at its time

and the allowed keys share one softmax. `allowed_frames` is the definition; `dense_attention` is the
oracle that applies it as a mask; `fused_attention` computes what is allowed, each backend in its
own way: `attention_merged`, `attention_concatenated`, `attention_splash` (docs/attention.md).
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

TERMS = ("view", "time", "half")
SOURCE = 0  # index of the source view
Tokens = Float[Array, "b v t s k d"]


def allowed_frames(
    views: int, frames: int, cross_half: bool, terms: Sequence[str] = TERMS
) -> Bool[np.ndarray, "v t v t"]:
    """Which frame (last two axes) may be read by which frame (first two).

    A frame always reads itself; ablations leave out some of the three `terms`.
    """
    view, time = np.indices((views, frames))
    vi, ti = view[:, :, None, None], time[:, :, None, None]
    allowed = (vi == view) & (ti == time)
    if "view" in terms:
        allowed = allowed | (vi == view)
    if "time" in terms:
        allowed = allowed | (ti == time)
    if cross_half and "half" in terms:
        half = frames // 2
        allowed = allowed | ((ti < half) & (time == ti + half) & (view == SOURCE))
    return allowed


def dense_attention(
    q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool, terms: Sequence[str] = TERMS
) -> Tokens:
    """The definition, with all pairs computed and the forbidden ones masked. Slow."""
    _, views, frames, tokens, _, width = q.shape
    mask = allowed_frames(views, frames, cross_half, terms).reshape(views * frames, -1)
    mask = np.repeat(np.repeat(mask, tokens, 0), tokens, 1)
    flat = [rearrange(x, "b v t s k d -> b k (v t s) d") for x in (q, k, v)]
    logits = jnp.einsum("bknd,bkmd->bknm", *flat[:2], preferred_element_type=jnp.float32)
    logits = logits * width**-0.5
    weights = jax.nn.softmax(jnp.where(mask, logits, -jnp.inf), -1)
    out = jnp.einsum("bknm,bkmd->bknd", weights.astype(v.dtype), flat[2])
    return rearrange(out, "b k (v t s) d -> b v t s k d", v=views, t=frames)


def fused_attention(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """The same function, computing little more than what is allowed.

    The platform that a program is compiled for decides how, whatever machine compiles it: TPU by
    splash attention (inside `jax.shard_map` only with check_vma=False), CPU in blocks, GPU by one
    public call a frame (through cuDNN in bfloat16, where this machine has a GPU). cuDNN and splash
    have no forward mode; `merged_attention` has everywhere.
    """
    # Imported here: they need the definitions above, and splash attention is slow to import.
    from full4d_jax.models.attention.concatenated import concatenated_attention
    from full4d_jax.models.attention.merged import merged_attention

    ways = {"cpu": merged_attention, "default": concatenated_attention}
    if q.shape[3] >= 128:  # a tile's smallest side
        from full4d_jax.models.attention.splash import splash_attention

        ways["tpu"] = splash_attention
    ways = {name: functools.partial(way, cross_half=cross_half) for name, way in ways.items()}
    return jax.lax.platform_dependent(q, k, v, **ways)


def full_attention(q: Tokens, k: Tokens, v: Tokens) -> Tokens:
    """Attention of every token to every token: fused attention with all frames in one view."""
    flat = [rearrange(x, "b v t ... -> b 1 (v t) ...") for x in (q, k, v)]
    return fused_attention(*flat, cross_half=False).reshape(q.shape)
