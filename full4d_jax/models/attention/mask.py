"""Who may read whom: the definition of fused time-view attention (Full-4D), and its slow oracle.

Frames are indexed by (view, t). With projection guidance as frames, t runs over two halves of f:
t < f are the frames to generate, t >= f the projected video. Token i may read token j if

    v_i = v_j                                   intra-view: all of its own view
    t_i = t_j                                   intra-time: all views at this instant
    t_i < f, t_j = t_i + f, v_j = source        cross-half: the input video at its time

and one softmax runs over everything that a token may read. `allowed_frames` is the definition.
`dense_attention` applies any mask between frames, this one or another, to all pairs of tokens.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float

SOURCE = 0  # index of the source view
Tokens = Float[Array, "b v t s k d"]


def allowed_frames(views: int, frames: int, cross_half: bool) -> Bool[np.ndarray, "v t v t"]:
    """Return which frame (first two axes) may read which frame (last two)."""
    view, time = np.indices((views, frames))
    vi, ti = view[:, :, None, None], time[:, :, None, None]
    allowed = (vi == view) | (ti == time)
    if cross_half:
        half = frames // 2
        allowed = allowed | ((ti < half) & (time == ti + half) & (view == SOURCE))
    return allowed


def dense_attention(
    q: Tokens, k: Tokens, v: Tokens, allowed: Bool[np.ndarray, "v t v t"]
) -> Tokens:
    """Attend under any mask between frames: compute all pairs and mask the forbidden ones. Slow."""
    _, views, frames, tokens, _, width = q.shape
    mask = allowed.reshape(views * frames, -1)
    mask = np.repeat(np.repeat(mask, tokens, 0), tokens, 1)
    flat = [rearrange(x, "b v t s k d -> b k (v t s) d") for x in (q, k, v)]
    logits = jnp.einsum("bknd,bkmd->bknm", *flat[:2], preferred_element_type=jnp.float32)
    logits = logits * width**-0.5
    weights = jax.nn.softmax(jnp.where(mask, logits, -jnp.inf), -1)
    out = jnp.einsum("bknm,bkmd->bknd", weights.astype(v.dtype), flat[2])
    return rearrange(out, "b k (v t s) d -> b v t s k d", v=views, t=frames)
