"""Fused attention by its definition, with the arguments of its implementations."""

from full4d_jax.models.attention.mask import Tokens, allowed_frames, dense_attention


def oracle(q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool) -> Tokens:
    """Return the dense masked softmax under `allowed_frames`."""
    return dense_attention(q, k, v, allowed_frames(*q.shape[1:3], cross_half))
