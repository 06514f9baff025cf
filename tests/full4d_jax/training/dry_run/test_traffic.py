"""Counted work is what small programs are known to do."""

import jax
import jax.numpy as jnp
import pytest

from full4d_jax.training.dry_run.compiling import gpu_seconds
from full4d_jax.training.dry_run.devices import GPUS
from full4d_jax.training.dry_run.hlo import read_program
from full4d_jax.training.dry_run.traffic import Work, count_work

SIDE = 64


def text(function, *shapes: tuple[int, ...]) -> str:
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arrays).compile().as_text() or ""


def test_products_count_as_often_as_their_loop_runs():
    def powers(x):
        return jax.lax.scan(lambda y, _: (y @ x, None), x, length=7)[0]

    work = count_work(read_program(text(powers, (SIDE, SIDE))))
    assert sum(work.products.values()) == 7 * 2 * SIDE**3


def test_a_fusion_reads_and_writes_once():
    work = count_work(
        read_program(text(lambda a, b: jnp.sin(a * b) + a, (SIDE, SIDE), (SIDE, SIDE)))
    )
    assert work.bytes == 3 * 4 * SIDE**2
    assert work.launches == 1


def test_of_a_sliced_operand_the_slice_is_read():
    def row(table, i):
        return 2 * jax.lax.dynamic_index_in_dim(table, i.astype(jnp.int32), keepdims=False)

    work = count_work(read_program(text(row, (1000, SIDE), ())))
    assert 2 * 4 * SIDE <= work.bytes < 3 * 4 * SIDE


def test_both_branches_count():
    def either(x):
        return jax.lax.cond(x[0, 0] > 0, lambda y: y @ y, lambda y: (y @ y) @ y, x)

    work = count_work(read_program(text(either, (SIDE, SIDE))))
    assert sum(work.products.values()) == 3 * 2 * SIDE**3


ASYNCHRONOUS = """
ENTRY %main (p: f32[8]) -> f32[16] {
  %p = f32[8]{0} parameter(0)
  %all-gather-start = (f32[8]{0}, f32[16]{0}) all-gather-start(%p), channel_id=1
  ROOT %all-gather-done = f32[16]{0} all-gather-done(%all-gather-start)
}
"""
WORKSPACE = """
ENTRY %main (a: bf16[8,4], b: bf16[4,2]) -> bf16[8,2] {
  %a = bf16[8,4]{1,0} parameter(0)
  %b = bf16[4,2]{1,0} parameter(1)
  %gemm = (bf16[8,2]{1,0}, s8[4096]{0}) custom-call(%a, %b), custom_call_target="__cublas$gemm", \
backend_config={"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}
  ROOT %result = bf16[8,2]{1,0} get-tuple-element(%gemm), index=0
}
"""


CUDNN = """
ENTRY %main (q: bf16[3,8,2,4], k: bf16[3,5,2,4], v: bf16[3,5,2,4]) -> bf16[3,2,8,4] {
  %q = bf16[3,8,2,4]{3,2,1,0} parameter(0)
  %k = bf16[3,5,2,4]{3,2,1,0} parameter(1)
  %v = bf16[3,5,2,4]{3,2,1,0} parameter(2)
  %out = (bf16[3,2,8,4]{3,1,2,0}, f32[3,2,8]{2,1,0}, u8[0]{0}) custom-call(%q, %k, %v), \
custom_call_target="__cudnn$fmhaSoftmax"
  ROOT %result = bf16[3,2,8,4]{3,1,2,0} get-tuple-element(%out), index=0
}
"""


@pytest.mark.parametrize(
    ("target", "products"), [("", {"cudnn_forward": 2}), ("Backward", {"cudnn_gradient": 5})]
)
def test_cudnns_attention_has_its_own_rate(target, products):
    hlo = CUDNN.replace("\\\n", "").replace("Softmax", f"Softmax{target}")
    one = 2 * 3 * 2 * 8 * 5 * 4  # product of all queries with their keys
    assert count_work(read_program(hlo)).products == {kind: n * one for kind, n in products.items()}


def test_what_is_started_counts_once():
    work = count_work(read_program(ASYNCHRONOUS))
    assert (work.bytes, work.launches) == (4 * (8 + 16), 1)


def test_a_librarys_workspace_is_not_moved():
    work = count_work(read_program(WORKSPACE))
    assert work.bytes == 2 * (8 * 4 + 4 * 2 + 8 * 2)
    assert work.products == {"bf16": 2 * 8 * 4 * 2}


def test_the_predicted_time_is_that_of_full_rates():
    gpu = GPUS["h100"]
    products = {"bf16": 989e12, "tf32": 989e12}
    work = Work(bytes=round(gpu.bandwidth), launches=10, products=products)
    seconds = gpu_seconds(work, gpu)
    assert seconds["memory"] == pytest.approx(1)
    assert seconds["products"] == pytest.approx(1 + 2)
    assert gpu.float32_flops == pytest.approx(66.9e12, rel=0.01)  # as NVIDIA says


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
