"""Consistency of generated views: against another program, and where the answer is known."""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from full4d_jax.cameras import cameras_of
from full4d_jax.evaluation.without_truth.consistency import flow_from_depth
from input_pipeline.procedural.scene import procedural_scene

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("ablation_consistency")


@pytest.fixture(scope="module")
def clip():
    angles = jnp.array([10.0, 20.0, 35.0])
    make = jax.jit(
        lambda: procedural_scene(7, views=4, frames=2, height=32, width=32, azimuths=angles)
    )
    return make()


@pytest.mark.slow
def test_places_are_those_of_the_flow_from_depth(module, clip):
    lenses, poses, depth = (
        np.asarray(x) for x in (clip.intrinsics, clip.world_to_camera, clip.depth)
    )
    relative = poses[2, 0] @ np.linalg.inv(poses[1, 0])
    spots, far = module.moved(depth[1, 0], lenses[1], relative, lenses[2])
    flow, wanted = flow_from_depth(depth[1, 0], lenses[[1, 2]], poses[[1, 2], 0])
    y, x = np.mgrid[:32, :32]
    np.testing.assert_allclose(spots, np.stack([y + flow[..., 1], x + flow[..., 0]]), atol=1e-3)
    np.testing.assert_allclose(far, wanted, atol=1e-4)


@pytest.mark.slow
def test_what_is_wrong_in_one_view_alone_is_seen(module, clip):
    """The truth agrees; one error in all views does too; views of their own do not, nor grey."""
    cameras, truth = cameras_of(clip), 2 * clip.frames - 1
    counted = jnp.ones(clip.depth.shape, bool).at[0].set(False)
    score = jax.jit(
        lambda made, some: module.consistency(made, truth, clip.depth, cameras, some, truth)
    )
    noise = jax.random.normal(jax.random.key(0), truth.shape)
    right, shifted, noisy, noisier, grey = (
        np.asarray(score(made, counted))
        for made in (truth, 0.5 * truth, truth + 0.1 * noise, truth + 0.5 * noise, 0 * truth)
    )
    assert right[0] > 28
    assert right[1] == 100
    assert shifted[0] > right[0]
    assert shifted[1] > 99
    assert right[0] > noisy[0] + 3 > noisier[0] + 9
    assert 90 > noisy[1] > noisier[1] + 15
    assert grey[0] == pytest.approx(60)
    assert grey[1] == 0
    # The source and pixels that do not count have no say.
    np.testing.assert_array_equal(score(truth.at[0].set(0), counted), right)
    broken = truth.at[3].set(noise[3])
    np.testing.assert_array_equal(
        score(broken, counted.at[3].set(False)), score(truth, counted.at[3].set(False))
    )
    assert np.isnan(score(truth, jnp.zeros_like(counted))).all()


@pytest.mark.slow
def test_what_views_do_not_share_is_matched_by_chance_alone(module, clip):
    """Chance differs by how smooth pictures are; less chance, independent pictures have none."""
    cameras, truth = cameras_of(clip), 2 * clip.frames - 1
    counted = jnp.ones(clip.depth.shape, bool).at[0].set(False)
    score = jax.jit(
        lambda made, other: module.consistency(made, truth, clip.depth, cameras, counted, other)
    )
    generator, found = np.random.default_rng(0), {}
    for name, blur in ("rough", 0), ("smooth", 3):
        noise = generator.normal(size=(24, *truth.shape)).astype(np.float32)
        noise = gaussian_filter(noise, (0, 0, 0, blur, blur, 0))
        noise *= 0.3 / noise.std()
        found[name] = np.mean([score(a, b) for a, b in noise.reshape(12, 2, *truth.shape)], 0)
        assert abs(found[name][2]) < 4
        assert score(truth, noise[0])[2] > 75
    assert found["rough"][1] > 15 > 10 > found["smooth"][1]
