"""Products inside Pallas kernels: as often as grids, the busier branch and the program run."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl

from full4d_jax.training.dry_run.compiling import predicted_mfu, tpu_seconds
from full4d_jax.training.dry_run.kernels import kernel_products, kernel_runs

SIDE = 8
PRODUCT = 2 * SIDE**3


def multiply(x: jax.Array) -> jax.Array:
    """Multiply each of three squares by itself, in a kernel: twice where it begins with 0."""

    def kernel(square, result):
        def once(y):
            return y @ square[0]

        twice = jax.lax.cond(square[0, 0, 0] == 0, lambda y: once(once(y)), once, square[0])
        result[0] = twice

    block = pl.BlockSpec((1, SIDE, SIDE), lambda i: (i, 0, 0))
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = pl.pallas_call(
        kernel, shape, grid=(3,), in_specs=[block], out_specs=block, name="square"
    )
    return call(x)


HLO = """
%body (p: f32[8]) -> f32[8] {
  %square.3 = f32[3,8,8] custom-call(%p), custom_call_target="tpu_custom_call"
}
%condition (p: f32[8]) -> pred[] {
  %limit = s32[] constant(5)
}
ENTRY %main (p: f32[8]) -> f32[8] {
  %square.1.remat2 = f32[3,8,8] custom-call(%p), custom_call_target="tpu_custom_call"
  %other = f32[3,8,8] custom-call(%p), custom_call_target="another"
  ROOT %loop = f32[8] while(%p), condition=%condition, body=%body
}
"""


def test_kernels_run_as_often_as_the_optimised_program_says():
    assert kernel_runs(HLO) == {"square": 6}


def test_a_kernel_counts_for_its_grid_with_its_busier_branch():
    """The traced program calls it twice, inside of a scan; what was optimised runs it six times."""

    def scanned(x):
        turned = jax.lax.scan(lambda y, _: (multiply(y), None), x, length=5)[0]
        return multiply(turned) @ x

    squares = jax.ShapeDtypeStruct((3, SIDE, SIDE), jnp.float32)
    jaxpr = jax.jit(scanned).trace(squares).jaxpr.jaxpr
    assert kernel_products(jaxpr, HLO) == 6 * 3 * 2 * PRODUCT
    assert kernel_products(jaxpr, "ENTRY %main (p: f32[]) -> f32[] {\n}") == 0


def test_a_kernel_without_a_name_has_that_of_its_function():
    def thrice(square, result):
        result[...] = jax.lax.fori_loop(0, 3, lambda _, y: y @ square[...], square[...])

    shape = jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32)
    jaxpr = jax.jit(lambda x: pl.pallas_call(thrice, shape)(x)).trace(shape).jaxpr.jaxpr
    assert kernel_products(jaxpr, HLO.replace("square", "thrice")) == 6 * 3 * PRODUCT
    with pytest.raises(
        ValueError, match=r"found \['square'\] in the program, expected \['thrice'\]"
    ):
        kernel_products(jaxpr, HLO)


def test_seconds_of_a_tpu_follow_from_cycles_and_kernels():
    """A v5p runs at 1.75 GHz, as Google says, and multiplies at 459 TFLOP/s."""
    cost = {"estimated_cycles": 175_000_000, "kernel_products": 459e11}
    seconds = tpu_seconds(cost, "TPU v5")
    assert seconds["operations"] == pytest.approx(0.1, rel=2e-3)
    assert seconds["kernels"] == pytest.approx(0.1)
    mfu = predicted_mfu(seconds, "TPU v5", {"flops": 4 * 459e11, "devices": 4})
    assert mfu is not None
    assert mfu[0] == pytest.approx(0.5, rel=2e-3)
