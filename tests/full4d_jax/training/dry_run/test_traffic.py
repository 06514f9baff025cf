"""Counted work is what small programs are known to do."""

import jax
import jax.numpy as jnp
import pytest

from full4d_jax.training.dry_run.compiling import least_time
from full4d_jax.training.dry_run.devices import GPUS
from full4d_jax.training.dry_run.traffic import Work, array_bytes, count_work

SIDE = 64


def text(function, *shapes: tuple[int, ...]) -> str:
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jax.jit(function).lower(*arrays).compile().as_text() or ""


def test_products_count_as_often_as_their_loop_runs():
    def powers(x):
        return jax.lax.scan(lambda y, _: (y @ x, None), x, length=7)[0]

    work = count_work(text(powers, (SIDE, SIDE)))
    assert sum(work.products.values()) == 7 * 2 * SIDE**3


def test_a_fusion_reads_and_writes_once():
    work = count_work(text(lambda a, b: jnp.sin(a * b) + a, (SIDE, SIDE), (SIDE, SIDE)))
    assert work.bytes == 3 * 4 * SIDE**2
    assert work.launches == 1


def test_of_a_sliced_operand_the_slice_is_read():
    def row(table, i):
        return 2 * jax.lax.dynamic_index_in_dim(table, i.astype(jnp.int32), keepdims=False)

    work = count_work(text(row, (1000, SIDE), ()))
    assert 2 * 4 * SIDE <= work.bytes < 3 * 4 * SIDE


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("f32[2,3]{1,0}", 24),
        ("bf16[5]", 10),
        ("(f32[4]{0}, s32[])", 20),
        ("pred[]", 1),
    ],
)
def test_sizes_of_types(kind, size):
    assert array_bytes(kind) == size


def test_the_least_time_is_that_of_full_rates():
    gpu = GPUS["h100"]
    work = Work(bytes=round(gpu.bandwidth), copies=0, launches=10, products={"bf16": 989e12})
    seconds = least_time(work, gpu)["seconds"]
    assert seconds["memory"] == pytest.approx(1)
    assert seconds["bf16"] == pytest.approx(1)
    assert gpu.float32_flops == pytest.approx(66.9e12, rel=0.01)  # as NVIDIA says
