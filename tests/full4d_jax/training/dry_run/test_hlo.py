"""The reader of HLO: communication against programs that have it written down, runs and cycles."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

from full4d_jax.training.dry_run.hlo import (
    array_bytes,
    collectives,
    estimate_cycles,
    kernel_runs,
    read_program,
)

DEVICES, TRIPS, ROWS = 8, 5, 16
WHOLE = ROWS * DEVICES * 4  # bytes of an array (16, 8) of float32
PART = WHOLE // DEVICES

OPERATIONS = {
    "all-reduce": (lambda x: jax.lax.psum(x, "d"), PART),
    "all-gather": (lambda x: jax.lax.all_gather(x, "d", axis=1, tiled=True), WHOLE),
    "all-to-all": (lambda x: jax.lax.all_to_all(x, "d", 0, 1, tiled=True), PART),
    "collective-permute": (
        lambda x: jax.lax.ppermute(x, "d", [(i, (i + 1) % DEVICES) for i in range(DEVICES)]),
        PART,
    ),
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
    program = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=PartitionSpec(None, "d"),
        out_specs=PartitionSpec("d"),
        check_vma=False,
    )
    hlo = jax.jit(program).lower(jnp.ones((ROWS, DEVICES))).compile().as_text()
    assert hlo is not None
    times = trips or 1
    assert collectives(read_program(hlo)) == {kind: (times, times * size)}


def test_tpu_programs_hide_some():
    """Only XLA for TPU writes these forms (see the module); the text is cut from such a program."""
    hlo = """
%all-reduce-scatter.1 (p: bf16[96,64]) -> bf16[96,64] {
  %all-reduce.1 = bf16[96,64]{1,0} all-reduce(%p), channel_id=3, to_apply=%add
}
%fused_start (p: bf16[8,64]) -> bf16[16,64] {
  %all-gather-start.1 = (bf16[8,64]{1,0}, bf16[16,64]{1,0}) all-gather-start(%p), channel_id=4
}
%fused_end (p: bf16[8,64]) -> bf16[16,64] {
  %all-gather.2 = bf16[16,64]{1,0} all-gather(%p), channel_id=4
}
%condition (p: (s32[])) -> pred[] {
  %limit = s32[]{:T(128)} constant(30)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}
%body (p: (s32[])) -> (s32[]) {
  %a = bf16[96,64] fusion(%x), kind=kCustom, calls=%all-reduce-scatter.1
  %b = bf16[16,64] fusion(%x), kind=kCustom, calls=%fused_start
  %c = bf16[16,64] fusion(%b), kind=kCustom, calls=%fused_end
}
ENTRY %main (p: (s32[])) -> (s32[]) {
  %loop = (s32[]) while(%p), condition=%condition, body=%body
}
"""
    found = collectives(read_program(hlo))
    assert found["reduce-scatter"] == (30, 30 * 96 * 64 * 2)
    assert found["all-gather"] == (30, 30 * 16 * 64 * 2)
    assert set(found) == {"reduce-scatter", "all-gather"}


CYCLES = """
%condition (p: (s32[])) -> pred[] {
  %limit = s32[] constant(30)
  ROOT %less = pred[] compare(%i, %limit), direction=LT
}
%inner (p: f32[8]) -> f32[8] {
  %a = f32[8] fusion(%p), calls=%f, metadata={op_name="jit(s)/jvp(codec)/conv"}, backend_config={"estimated_cycles":"7"}
}
%body (p: (s32[])) -> (s32[]) {
  %b = f32[8] fusion(%p), calls=%f, metadata={op_name="jit(s)/projection/add"}, backend_config={"estimated_cycles":"100"}
  %c = f32[8] call(%p), to_apply=%inner
}
ENTRY %main (p: (s32[])) -> (s32[]) {
  %square.1.remat2 = f32[3] custom-call(%p), custom_call_target="tpu_custom_call", metadata={x={
}}, backend_config={"estimated_cycles":"9"}
  %loop = (s32[]) while(%p), condition=%condition, body=%body
  %d = f32[8] fusion(%p), metadata={op_name="jit(s)/my_projection/mul"}, backend_config={"estimated_cycles":"1000"}
}
"""  # noqa: E501


def test_computations_run_as_often_as_their_callers_and_loops():
    program = read_program(CYCLES)
    assert [program.runs[name] for name in ("main", "body", "inner")] == [1, 30, 30]
    assert kernel_runs(program) == {"square": 1}


def test_cycles_are_summed_over_runs_but_those_that_the_compiler_does_not_know():
    assert estimate_cycles(read_program(CYCLES)) == 1009 + 30 * 107
    unknown = CYCLES.replace('"100"', f'"{2**63 - 1}"')
    assert estimate_cycles(read_program(unknown)) == 1009 + 30 * 7


def test_sizes_of_types():
    assert array_bytes("(f32[4]{0}, s32[])") == 20
    assert array_bytes("bf16[5]") == 10
