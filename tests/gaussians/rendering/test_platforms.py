"""The formulations of all platforms, run here against the CPU's and lowered for the others."""

import importlib.util
import os
import re
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas as pl
from moving_scene import random_scene

from gaussians import Camera, Gaussians, render
from gaussians.rendering import (
    compositing,
    compositing_cpu,
    compositing_gpu,
    compositing_tpu,
    platforms,
)
from gaussians.rendering.binning import Bins, Tiles
from gaussians.rendering.projection import project_gaussians


@pytest.fixture(scope="module")
def lists():
    """Random splats in lists of very different lengths, one longer than a chunk, some empty."""
    rng = np.random.default_rng(0)
    tiles = Tiles(40, 24, 16)
    g, n = 300, tiles.count
    length = rng.integers(0, 40, n)
    length[[0, 3]], length[n - 1] = 0, 280
    first = np.cumsum(length) - length
    ids = np.concatenate([rng.permutation(g)[:k] for k in length])
    ids = np.pad(ids, (0, 600 - len(ids) % 600))
    bins = Bins(*(jnp.asarray(x, jnp.int32) for x in (ids, first, length, 0)))
    spread = rng.uniform(0.005, 0.05, g)
    columns = [
        rng.uniform(0, 40, g),
        rng.uniform(0, 24, g),
        -spread,
        rng.uniform(-0.5, 0.5, g) * spread,
        -spread * rng.uniform(0.5, 1.5, g),
        np.log(rng.uniform(0.02, 1.0, g)),
        # Colour, depth, features: more than a TPU's 8 sublanes.
        *rng.uniform(0, 1, (14, g)),
    ]
    return jnp.asarray(np.stack(columns, -1), jnp.float32), bins, tiles


@pytest.fixture(scope="module")
def loops(lists):
    """The picture of the loops in XLA, a cotangent of it and their gradient."""
    features, bins, tiles = lists
    picture = jax.jit(lambda f: compositing.forward(f, bins, tiles))(features)
    cotangent = jax.random.normal(jax.random.key(1), picture.shape)
    pull_back = jax.jit(lambda f, c: compositing.backward(f, bins, picture, c, tiles))
    return picture, cotangent, pull_back(features, cotangent)


@pytest.mark.parametrize("kernels", [compositing_cpu, compositing_gpu, compositing_tpu])
def test_values_and_slopes_are_those_of_the_loops(lists, loops, kernels, monkeypatch):
    monkeypatch.setattr(pl, "pallas_call", partial(pl.pallas_call, interpret=True))
    features, bins, tiles = lists
    expected, cotangent, gradient = loops
    found = jax.jit(lambda f: kernels.forward(f, bins, tiles))(features)
    np.testing.assert_allclose(found, expected, atol=5e-6)
    assert float(expected[..., -1].min()) < 1e-3  # some pixels are finished early
    assert float(expected[..., -1].max()) == 1
    run = jax.jit(lambda f, c: kernels.backward(f, bins, expected, c, tiles))
    found = run(features, cotangent)
    for column, (a, b) in enumerate(zip(found.T, gradient.T, strict=True)):
        assert np.linalg.norm(a - b) <= 2e-5 * np.linalg.norm(b), column


@pytest.mark.parametrize("antialiased", [False, True])
def test_the_slope_of_the_projection_on_cpus_is_that_of_jax(antialiased):
    """Gaussians are in the picture, beside it, behind the camera, edge-on, without a rotation."""
    rng = np.random.default_rng(3)
    g = 400
    means = rng.uniform(-3, 3, (g, 3)) + [0, 0, 2]
    quaternions = rng.normal(size=(g, 4))
    quaternions[:5] = 0
    log_scales = rng.uniform(-6, 1, (g, 3))
    # Plates, and some as wide as can be.
    log_scales[5:50, 2] = -25
    log_scales[50:55] = 29
    fields = means, quaternions, log_scales, np.zeros(g), np.zeros((g, 1, 3))
    pose = np.eye(4)
    pose[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    pose[:3, 3] = 0.1, -0.2, 0.3
    lens = np.array([[40.0, 0, 19], [0, 44, 13], [0, 0, 1]])
    arrays = fields, rng.uniform(0.1, 1, g), pose, lens
    cotangents = [rng.normal(size=shape) for shape in ((g, 2), (g, 3), (g,), (g,))]

    def slope(project, kind):
        def shape(arrays):
            fields, opacities, pose, lens = arrays
            gaussians = Gaussians(*fields)
            camera = Camera(pose, lens, 40, 28)
            splats = project(gaussians, opacities, camera, antialiased=antialiased)
            return splats[:4]

        cast = partial(jax.tree.map, lambda x: jnp.asarray(x, kind))
        pulled = jax.vjp(shape, cast(arrays))[1](tuple(cast(cotangents)))
        return [np.asarray(x) for x in jax.tree.leaves(pulled)]

    with jax.enable_x64(True):
        exact = slope(project_gaussians, np.float64)
    by_jax = slope(project_gaussians, np.float32)
    by_numba = slope(platforms.project, np.float32)
    for a, b, c in zip(by_numba, by_jax, exact, strict=True):
        size = np.abs(c).max(-1, keepdims=True) + 1e-3
        error = np.abs(a - c) / size
        assert np.median(error) < 1e-5
        assert error.max() < 3 * (np.abs(b - c) / size).max() + 1e-4


def scene_and_lens():
    lens = jnp.array([[40.0, 0, 20], [0, 40, 12], [0, 0, 1]])
    return random_scene(200).gaussians, lens


def slopes(scene, lens):
    """A new function, so that nothing is compiled already, of a picture that no tile size fits."""

    def total(scene, lens):
        out = render(scene, Camera(jnp.eye(4), lens, 41, 21), max_intersections=4096)
        return out.rgb.sum() + (out.depth * out.alpha).sum()

    return jax.jit(jax.value_and_grad(total, (0, 1)))


@pytest.fixture
def named_functions():
    """Programs name the functions of their operations, which takes time in other tests."""
    jax.config.update("jax_traceback_in_locations_limit", 10)
    yield
    # As in conftest.py of all tests.
    jax.config.update("jax_traceback_in_locations_limit", 0)


# Lists of 8-pixel quarters, 18 of them, in steps of 4.
LOOPS = "tensor<18x4x64xf32>"


@pytest.mark.usefixtures("named_functions")
@pytest.mark.parametrize("platform", ["cpu", "cuda", "rocm", "tpu"])
def test_a_program_holds_the_formulation_of_the_platform_it_is_lowered_for(platform):
    """The devices of this machine do not matter: in these tests, CPUs only."""
    inputs = scene_and_lens()
    traced = slopes(*inputs).trace(*inputs)
    text = traced.lower(lowering_platforms=(platform,)).as_text(debug_info=True)
    assert LOOPS not in text
    assert ("bin_splats" in text) == (platform != "cpu")
    # On CPUs lists, three strips of tiles, the gradient of all tiles, and the projection's.
    kernels = {"cuda": 3, "rocm": 3, "tpu": 2, "cpu": 6}
    found = re.findall(r"custom_call @.*(?:triton|tpu_custom_call|gaussians_)", text)
    assert len(found) == kernels[platform]


def test_single_precision_keeps_its_loops_where_jax_has_64_bits():
    inputs = scene_and_lens()
    with jax.enable_x64(True):
        traced = slopes(*inputs).trace(*inputs)
        text = traced.lower(lowering_platforms=("cpu",)).as_text()
    assert text.count("custom_call @gaussians_") == 6


@pytest.mark.parametrize(("capability", "kernels"), [("7.5", 0), ("12.0", 3)])
def test_gpus_that_triton_does_not_know_get_the_loops(capability, kernels, monkeypatch):
    device = SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "local_devices", lambda backend: [device])
    inputs = scene_and_lens()
    jax.clear_caches()
    traced = slopes(*inputs).trace(*inputs)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    jax.clear_caches()
    assert text.count("custom_call @__gpu$xla.gpu.triton") == kernels
    assert (LOOPS in text) == (kernels == 0)


COMPILE = """
import sys, jax, jax.numpy as jnp
from jax.experimental import topologies
from gaussians import Camera, Gaussians, render
device = topologies.get_topology_desc(platform="tpu", topology_name=sys.argv[1]).devices[0]
place = jax.sharding.SingleDeviceSharding(device)
def array(*shape): return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=place)
g = 2_000
scene = Gaussians(array(g, 3), array(g, 4), array(g, 3), array(g), array(g, 4, 3))
def loss(scene, pose, lens):
    camera = Camera(pose, lens, 320, 192)
    # A short sort compiles in a fraction of the time.
    return (render(scene, camera, max_intersections=1 << 13).rgb ** 2).sum()
text = jax.jit(jax.grad(loss)).lower(scene, array(4, 4), array(3, 3)).compile().as_text()
print("kernels", text.count("tpu_custom_call"))
"""


@pytest.mark.skipif(
    not importlib.util.find_spec("libtpu"), reason="needs pip install libtpu"
)
@pytest.mark.parametrize("topology", ["v5p:2x2x1", "v6e:2x2"])
def test_the_renderer_compiles_for_tpu(topology):
    env = os.environ | {"JAX_PLATFORMS": "cpu", "TPU_WORKER_HOSTNAMES": "localhost"}
    env["ALLOW_MULTIPLE_LIBTPU_LOAD"] = "true"
    command = [sys.executable, "-c", COMPILE, topology]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split("kernels")[1]) >= 2
