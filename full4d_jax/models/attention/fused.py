"""Fused time-view attention, by the implementation that suits the platform (docs/attention.md).

`config.masks` defines the function. `merged` and `concatenated` know Full-4D's mask, `listed` and
`splash` take any; all compute little more than what the mask allows.
"""

import functools

import jax
from einops import rearrange

from full4d_jax.config.masks import PAPER
from full4d_jax.models.attention.concatenated import concatenated_attention
from full4d_jax.models.attention.listed import listed_attention
from full4d_jax.models.attention.listed_by_head import listed_by_head
from full4d_jax.models.attention.mask import Tokens
from full4d_jax.models.attention.merged import merged_attention
from full4d_jax.models.attention.splash import splash_attention

SPLASH_TOKENS = 128  # fewest tokens of a frame that fill the smallest side of splash's tiles


def fused_attention(
    q: Tokens, k: Tokens, v: Tokens, *, cross_half: bool, mask: str = PAPER
) -> Tokens:
    """Attend under `masks.allowed_frames`.

    The platform that a program is compiled for decides how, whatever machine compiles it: TPU uses
    splash attention (inside `jax.shard_map` only with check_vma=False), CPU works in blocks, and
    GPU makes one public call an instant (through cuDNN in bfloat16, where this machine has a GPU).
    Masks other than `time_view` are walked in lists on CPU and GPU. cuDNN and splash have no
    forward mode; `merged_attention` has it everywhere.

    Args:
      q: queries.
      k: keys.
      v: values.
      cross_half: whether the later half of the frames is the projection.
      mask: a name for `masks.find_mask`.
    """
    cpu = functools.partial(listed_by_head, cross_half=cross_half, mask=mask)
    default = functools.partial(listed_attention, cross_half=cross_half, mask=mask)
    if mask == PAPER:
        cpu = functools.partial(merged_attention, cross_half=cross_half)
        default = functools.partial(concatenated_attention, cross_half=cross_half)
    if q.shape[3] < SPLASH_TOKENS:
        return jax.lax.platform_dependent(q, k, v, cpu=cpu, default=default)
    tpu = functools.partial(splash_attention, cross_half=cross_half, mask=mask)
    return jax.lax.platform_dependent(q, k, v, cpu=cpu, tpu=tpu, default=default)


def full_attention(q: Tokens, k: Tokens, v: Tokens) -> Tokens:
    """Attend from every token to every token: fused attention with all frames in one view."""
    flat = [rearrange(x, "b v t ... -> b 1 (v t) ...") for x in (q, k, v)]
    return fused_attention(*flat, cross_half=False).reshape(q.shape)
