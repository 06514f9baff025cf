"""The reader of HLO, and what it counts: communication, and the work of small programs.

Products inside Pallas kernels count as often as grids, the busier branch and the program run; of
splash attention those that the mask asks for.
"""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental import pallas as pl
from jax.sharding import AxisType, PartitionSpec

from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.dit.attention.splash import splash_attention
from full4d_jax.training.inspection.hlo import collectives, read_program
from full4d_jax.training.inspection.kernel_work import count_work, kernel_products

DEVICES, TRIPS, ROWS = 8, 5, 16
WHOLE = ROWS * DEVICES * 4  # bytes of an array (16, 8) of float32
PART = WHOLE // DEVICES

RING = [(i, (i + 1) % DEVICES) for i in range(DEVICES)]
OPERATIONS = {
    "all-reduce": (lambda x: jax.lax.psum(x, "d"), PART),
    "all-gather": (lambda x: jax.lax.all_gather(x, "d", axis=1, tiled=True), WHOLE),
    "all-to-all": (lambda x: jax.lax.all_to_all(x, "d", 0, 1, tiled=True), PART),
    "collective-permute": (lambda x: jax.lax.ppermute(x, "d", RING), PART),
}


@pytest.mark.parametrize(
    ("kind", "trips"), [("all-reduce", None), *((kind, TRIPS) for kind in OPERATIONS)]
)
def test_counts_and_bytes(kind, trips):
    operation, size = OPERATIONS[kind]

    def local(x):
        def once(carry, factor):
            return carry + operation(x * factor).sum(), None

        if trips is None:
            return once(jnp.zeros(()), 2.0)[0][None]
        return jax.lax.scan(once, jnp.zeros(()), jnp.arange(1.0, trips + 1))[0][None]

    mesh = jax.make_mesh((DEVICES,), ("d",), axis_types=(AxisType.Auto,))
    cuts = PartitionSpec(None, "d"), PartitionSpec("d")
    program = jax.shard_map(
        local, mesh=mesh, in_specs=cuts[0], out_specs=cuts[1], check_vma=False
    )
    hlo = jax.jit(program).lower(jnp.ones((ROWS, DEVICES))).compile().as_text()
    assert hlo is not None
    times = trips or 1
    assert collectives(read_program(hlo)) == {
        kind: {"count": times, "bytes": times * size}
    }


SIDE = 64
PRODUCT = 2 * SIDE**3


def multiply(x: jax.Array) -> jax.Array:
    """Multiply each of three squares by itself, in a kernel: twice where it begins with 0."""

    def kernel(square, result):
        def once(y):
            return y @ square[0]

        twice = jax.lax.cond(
            square[0, 0, 0] == 0, lambda y: once(once(y)), once, square[0]
        )
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
    assert (
        kernel_products(jaxpr, read_program("ENTRY %main (p: f32[]) -> f32[] {\n}"))
        == 0
    )


def test_splash_attention_counts_the_tiles_that_it_does_not_skip():
    """Tiles are frames here, so as many count as frames read another.

    Lists stand outside of loops and of what is computed again, and are constants all the same.
    """
    views, frames, tokens, heads, width = 2, 6, 512, 3, 128

    def attend(x):
        layer = jax.checkpoint(lambda x: splash_attention(x, x, x, cross_half=True))
        return jax.lax.scan(lambda x, _: (layer(x), None), x, length=4)[0].sum()

    shape = 1, views, frames, tokens, heads, width
    grid = jax.ShapeDtypeStruct(shape, jnp.float32)
    jaxpr = jax.jit(jax.grad(attend)).trace(grid).jaxpr
    allowed = allowed_frames(views, frames, cross_half=True)
    assert (
        allowed.sum()
        < views * frames * allowed.reshape(views * frames, -1).sum(1).max()
    )
    product = 2 * width * heads * int(allowed.sum()) * tokens**2
    products = {"fwd_residuals": 2, "dq_no_residuals": 3, "dkv_no_residuals": 4}
    for kernel, number in products.items():
        hlo = HLO.replace("square", f"splash_mha_{kernel}")
        assert kernel_products(jaxpr, read_program(hlo)) == 6 * number * product


def text(function, *shapes: tuple[int, ...]) -> str:
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arrays).compile().as_text() or ""


def test_products_count_as_often_as_their_loop_runs():
    def powers(x):
        return jax.lax.scan(lambda y, _: (y @ x, None), x, length=7)[0]

    work = count_work(read_program(text(powers, (SIDE, SIDE))))
    assert sum(work.products.values()) == 7 * 2 * SIDE**3


KERNEL = r"""
ENTRY %main (q: bf16[8,4]) -> bf16[8,4] {
  %q = bf16[8,4]{1,0} parameter(0)
  ROOT %call = bf16[8,4]{1,0} custom-call(%q), custom_call_target="__gpu$xla.gpu.triton", \
backend_config={name = "_draw", serialized_metadata = \
"{\22flops\22: \22512\22, \22rate\22: \22flash_forward\22}"}
}
"""


@pytest.mark.parametrize(
    ("kind", "size", "products"),
    [("bf16", 2, {"flash_forward": 512}), ("f32", 4, {"tf32": 512})],
)
def test_a_kernels_products_are_what_its_metadata_says(kind, size, products):
    """Its rate was measured in half precision alone."""
    work = count_work(read_program(KERNEL.replace("\\\n", "").replace("bf16", kind)))
    assert work.products == products
    assert work.bytes == 2 * size * 32
