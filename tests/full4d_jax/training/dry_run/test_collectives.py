"""Counts against programs whose communication is written down in them."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

from full4d_jax.training.dry_run.collectives import collectives

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


@pytest.mark.parametrize("kind", OPERATIONS)
@pytest.mark.parametrize("trips", [None, TRIPS], ids=["once", "in a loop"])
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
    assert collectives(hlo) == {kind: (times, times * size)}


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
    found = collectives(hlo)
    assert found["reduce-scatter"] == (30, 30 * 96 * 64 * 2)
    assert found["all-gather"] == (30, 30 * 16 * 64 * 2)
    assert set(found) == {"reduce-scatter", "all-gather"}
