"""Products inside Pallas kernels: as often as grids, the busier branch and the program run.

Of splash attention, those that the mask asks for.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.attention.splash import splash_attention
from full4d_jax.training.dry_run.hlo import read_program
from full4d_jax.training.dry_run.kernels import kernel_products

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


def test_a_kernel_counts_for_its_grid_with_its_busier_branch():
    """The traced program calls it twice, inside of a scan; what was optimised runs it six times."""

    def scanned(x):
        turned = jax.lax.scan(lambda y, _: (multiply(y), None), x, length=5)[0]
        return multiply(turned) @ x

    squares = jax.ShapeDtypeStruct((3, SIDE, SIDE), jnp.float32)
    jaxpr = jax.jit(scanned).trace(squares).jaxpr
    assert kernel_products(jaxpr, read_program(HLO)) == 6 * 3 * 2 * PRODUCT
    assert kernel_products(jaxpr, read_program("ENTRY %main (p: f32[]) -> f32[] {\n}")) == 0


def test_splash_attention_counts_the_tiles_that_it_does_not_skip():
    """Tiles are frames here, so as many count as frames read another.

    Lists stand outside of loops and of what is computed again, and are constants all the same.
    """
    views, frames, tokens, heads, width = 2, 6, 512, 3, 128

    def attend(x):
        layer = jax.checkpoint(lambda x: splash_attention(x, x, x, cross_half=True))
        return jax.lax.scan(lambda x, _: (layer(x), None), x, length=4)[0].sum()

    tokens_of_grid = jax.ShapeDtypeStruct((1, views, frames, tokens, heads, width), jnp.float32)
    jaxpr = jax.jit(jax.grad(attend)).trace(tokens_of_grid).jaxpr
    allowed = allowed_frames(views, frames, cross_half=True)
    assert allowed.sum() < views * frames * allowed.reshape(views * frames, -1).sum(1).max()
    product = 2 * width * heads * int(allowed.sum()) * tokens**2
    products = {"fwd_residuals": 2, "dq_no_residuals": 3, "dkv_no_residuals": 4}
    for kernel, number in products.items():
        hlo = HLO.replace("square", f"splash_mha_{kernel}")
        assert kernel_products(jaxpr, read_program(hlo)) == 6 * number * product
