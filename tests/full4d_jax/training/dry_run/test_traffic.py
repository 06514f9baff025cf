"""Counted work is what small programs are known to do."""

import jax
import jax.numpy as jnp
import pytest

from full4d_jax.training.dry_run.hlo import read_program
from full4d_jax.training.dry_run.traffic import count_work

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
