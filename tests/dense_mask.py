"""Fused attention by its definition, with the arguments of its implementations."""

from full4d_jax.config.masks import PAPER, allowed_frames
from full4d_jax.models.attention.mask import Tokens, dense_attention


def oracle(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = PAPER,
    rows_by_cudnn: bool = False,
) -> Tokens:
    """Return the dense masked softmax under `allowed_frames`."""
    return dense_attention(q, k, v, allowed_frames(q.shape[1], q.shape[2], cross_half, mask))
