"""Splash attention: its lists of tiles against the library's own, tilings, and TPU compilers."""

import functools
import importlib.util
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import oracle, with_gradients
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as masks,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask_info as library,
)

from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.dit.attention.splash import (
    Tiling,
    splash_from_frames,
    tile_lists,
)


@pytest.mark.parametrize("by_keys", [False, True])
@pytest.mark.parametrize(
    ("frames", "tokens", "tiling"),
    [(6, 8, Tiling(8, 1, 1)), (6, 6, Tiling(8, 1, 3)), (4, 13, Tiling(8, 2, 1))],
)
def test_lists_are_those_of_the_library(frames, tokens, tiling, by_keys):
    """The library evaluates the mask on every token; ours must walk and mask the same tiles."""
    allowed = allowed_frames(3, frames, cross_half=True).reshape(3 * frames, -1)
    padded = tiling.cell * tiling.pieces
    real = np.arange(padded) < tokens
    mask = np.kron(allowed, np.broadcast_to(real, (padded, padded)))
    process = library.process_mask_dkv if by_keys else library.process_mask
    side = tiling.cell * tiling.group
    expected, _ = process(masks.MultiHeadMask([masks.NumpyMask(mask)]), (side, side))
    ours = tile_lists(allowed, tokens, tiling, by_keys=by_keys)
    found = decode(ours, by_keys, side)
    assert found == decode(expected, by_keys, side)
    assert len(found) == sum(
        mask[i : i + side, j : j + side].any()
        for i in range(0, len(mask), side)
        for j in range(0, len(mask), side)
    )


def decode(info, by_keys, side):
    """{(query tile, key tile): what of it counts} for every active step of a kernel's grid."""
    data, active = (np.asarray(x)[0] for x in (info.data_next, info.block_mask))
    found = {}
    for place in np.argwhere(active):
        row, column = place[1 if by_keys else 0], data[tuple(place)]
        block = np.ones((side, side), bool)
        if active[tuple(place)] == 1:
            index = np.asarray(info.mask_next)[0][tuple(place)]
            block = np.asarray(info.partial_mask_blocks)[index]
        found[int(row), int(column)] = block.tobytes()
    return found


COMPILE = """
import sys, jax, jax.numpy as jnp
from jax.experimental import topologies
from full4d_jax.models.dit.attention.fused import fused_attention
topology, *sizes = sys.argv[1:]
device = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
place = jax.sharding.SingleDeviceSharding(device)
x = jax.ShapeDtypeStruct(tuple(map(int, sizes)), jnp.bfloat16, sharding=place)
def step(q, k, v, cotangent):
    out, pull = jax.vjp(lambda *x: fused_attention(*x, cross_half=True), q, k, v)
    return out, *pull(cotangent)
compiled = jax.jit(step).lower(x, x, x, x).compile()
print("kernels", compiled.as_text().count("tpu_custom_call"))
"""


@pytest.mark.skipif(not importlib.util.find_spec("libtpu"), reason="needs libtpu")
def test_compiles_for_tpu_at_the_5b_models_grid():
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }
    environment["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "true"
    sizes = [str(n) for n in (1, 6, 42, 252, 24, 128)]
    command = [sys.executable, "-c", COMPILE, "v6e:2x2", *sizes]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split("kernels")[1]) == 3  # forward, dq, and dk with dv


@pytest.mark.parametrize(("shape", "parts"), [((3, 4, 40), 3), ((2, 4, 600), 4)])
def test_parts_of_the_frames_equal_the_dense_mask(shape, parts):
    """Tiles are several frames, or one; a program learns its part when it runs."""
    views, frames, tokens = shape
    draws = [jax.random.normal(jax.random.key(i), (1, *shape, 1, 8)) for i in range(4)]
    allowed = allowed_frames(views, frames, cross_half=True).reshape(views * frames, -1)

    def in_parts(q, k, v):
        queries, keys, values = (x.reshape(1, -1, tokens, 1, 8) for x in (q, k, v))
        queries = queries.reshape(1, parts, -1, tokens, 1, 8).swapaxes(0, 1)

        attend = functools.partial(splash_from_frames, allowed=allowed, interpret=True)
        numbered = (queries, jnp.arange(parts))
        out = jax.lax.map(lambda x: attend(x[0], keys, values, x[1]), numbered)
        return out.swapaxes(0, 1).reshape(q.shape)

    whole = functools.partial(oracle, cross_half=True)
    both = (jax.jit(with_gradients(attend))(*draws) for attend in (in_parts, whole))
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)
