"""A program gets the implementation of the platform it is compiled for, and no other."""

import collections
import functools
import re

import jax
import jax.numpy as jnp
import pytest
from dense_mask import oracle, with_gradients

from full4d_jax.models.dit.attention.flash import flash_attention
from full4d_jax.models.dit.attention.fused import fused_attention
from full4d_jax.models.dit.attention.merged import merged_attention
from full4d_jax.models.dit.attention.splash import splash_attention

FUSED, DENSE, MERGED, FLASH, SPLASH = (
    functools.partial(attend, cross_half=True)
    for attend in (
        fused_attention,
        oracle,
        merged_attention,
        flash_attention,
        splash_attention,
    )
)
SMALL = (1, 3, 4, 16, 2, 8)
LARGE = (1, 3, 4, 128, 2, 8)  # as many tokens as a tile of splash has


def operations(attend, shape, platform):
    """Count the operations of a program that is compiled for a platform.

    Without those of the choice itself: a case of one branch, with zeros that nobody reads for what
    the other implementations would have kept.
    """
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    traced = jax.jit(with_gradients(attend)).trace(x, x, x, x)
    lowered = traced.lower(lowering_platforms=(platform,))
    counts = collections.Counter(re.findall(r"stablehlo\.(\w+)", lowered.as_text()))
    choice = {"constant", "case", "return", "broadcast_in_dim"}
    return {name: n for name, n in counts.items() if name not in choice}


@pytest.mark.parametrize(
    ("platform", "shape", "chosen", "other"),
    [
        ("cpu", LARGE, MERGED, DENSE),
        ("cuda", LARGE, FLASH, MERGED),
        ("tpu", SMALL, MERGED, DENSE),
        ("tpu", LARGE, SPLASH, MERGED),
    ],
)
def test_programs_hold_the_platforms_implementation_alone(
    platform, shape, chosen, other
):
    found = operations(FUSED, shape, platform)
    assert found == operations(chosen, shape, platform)
    assert found != operations(other, shape, platform)
    kernels = 3 if chosen in (FLASH, SPLASH) else 0  # forward, dq, and dk with dv
    assert found.get("custom_call", 0) == kernels


def test_programs_for_gpus_attend_within_views_by_cudnn_where_they_should():
    """Each of the two passes once for all views; three kernels of ours for the others."""
    x = jax.ShapeDtypeStruct(LARGE, jnp.bfloat16)
    attend = functools.partial(FUSED, rows_by_cudnn=True)
    traced = jax.jit(with_gradients(attend)).trace(x, x, x, x)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    calls = collections.Counter(re.findall(r"custom_call @([\w$.]+)", text))
    ours = calls.pop("__gpu$xla.gpu.triton")
    assert ours == 3
    assert calls == {"__cudnn$fmhaSoftmax": 1, "__cudnn$fmhaSoftmaxBackward": 1}
    text = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "custom_call" not in text
