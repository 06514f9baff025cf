"""Fused time-view attention, by the implementation that suits the platform (docs/attention.md).

`config.masks` defines the function. `merged` knows Full-4D's mask, the others take any; all compute
little more than what the mask allows.
"""

import functools

import jax
from einops import rearrange

from full4d_jax.config.masks import PAPER
from full4d_jax.models.attention.flash import attend_to_all, flash_attention
from full4d_jax.models.attention.listed import listed_attention
from full4d_jax.models.attention.mask import Flat, Text, Tokens
from full4d_jax.models.attention.merged import merged_attention
from full4d_jax.models.attention.splash import splash_attention
from gaussians.rendering.platforms import runs_triton

SPLASH_TOKENS = 128  # fewest tokens of a frame that fill the smallest side of splash's tiles


def fused_attention(
    q: Tokens,
    k: Tokens,
    v: Tokens,
    *,
    cross_half: bool,
    mask: str = PAPER,
    rows_by_cudnn: bool = False,
) -> Tokens:
    """Attend under `masks.allowed_frames`.

    The platform that a program is compiled for decides how, whatever machine compiles it: GPU uses
    flash attention over lists of frames, TPU splash attention (both inside `jax.shard_map` only
    with check_vma=False). CPU works in blocks, as do TPU with small frames and GPUs before Ampere.
    None of the kernels has a forward mode; `merged_attention` has it everywhere.

    Args:
      q: queries.
      k: keys.
      v: values.
      cross_half: whether the later half of the frames is the projection.
      mask: a name for `masks.find_mask`.
      rows_by_cudnn: on GPUs, as in `flash_attention`.
    """
    blocks = functools.partial(listed_attention, cross_half=cross_half, mask=mask)
    if mask == PAPER:
        blocks = functools.partial(merged_attention, cross_half=cross_half)
    gpu = blocks
    if runs_triton():
        gpu = functools.partial(
            flash_attention, cross_half=cross_half, mask=mask, rows_by_cudnn=rows_by_cudnn
        )
    tpu = blocks
    if q.shape[3] >= SPLASH_TOKENS:
        tpu = functools.partial(splash_attention, cross_half=cross_half, mask=mask)
    return jax.lax.platform_dependent(q, k, v, cpu=blocks, tpu=tpu, default=gpu)


def full_attention(q: Tokens, k: Tokens, v: Tokens, *, rows_by_cudnn: bool = False) -> Tokens:
    """Attend from every token to every token: fused attention with all frames in one view."""
    flat = [rearrange(x, "b v t ... -> b 1 (v t) ...") for x in (q, k, v)]
    out = fused_attention(*flat, cross_half=False, rows_by_cudnn=rows_by_cudnn)
    return out.reshape(q.shape)


def cross_attention(q: Flat, k: Text, v: Text) -> Flat:
    """Attend from every query to every key, of which there may be another number."""
    dense = jax.nn.dot_product_attention
    gpu = attend_to_all if runs_triton() else dense
    return jax.lax.platform_dependent(q, k, v, cpu=dense, tpu=dense, default=gpu)
