"""The reader of HLO: communication against programs that have it written down."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType, PartitionSpec

from full4d_jax.training.dry_run.hlo import (
    collectives,
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
