"""The prior as a teacher at cameras between the others, and what a scene learns from it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_grids import arc

from full4d_jax.cameras import Cameras
from full4d_jax.config import SamplerConfig, load_config
from full4d_jax.generation.prior import Prior
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import to_uint8
from full4d_jax.models.dit.dit import init_params
from full4d_jax.scene.prior_teacher import halfway_cameras, halfway_teacher
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.source.camera_paths import PIVOT, angles_of
from gaussians.fitting.distillation import distillation_loss
from input_pipeline.pinhole import orbit


def test_cameras_between_are_half_way_and_look_at_the_pivot():
    # The source first, the others in any order.
    azimuths = np.array([0.0, 40.0, -50.0, 15.0])
    poses = np.repeat(orbit(azimuths, np.zeros(4))[:, None], 2, 1)
    lenses = np.zeros((4, 3, 3), np.float32)
    middle = np.asarray(halfway_cameras(Cameras(lenses, poses, 8, 8)).world_to_camera)
    assert middle.shape == (3, 2, 4, 4)
    np.testing.assert_allclose(angles_of(middle)[:, 0, 0], [-25, 7.5, 27.5], atol=1e-3)
    seen = middle @ np.array([*PIVOT, 1])
    # In the middle of the picture.
    np.testing.assert_allclose(seen[..., :2], 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(middle[..., :3, :3]), 1, atol=1e-5)


DEBUG = load_config("configs/debug.py")


def with_form(form, **changes):
    """Settings of a small fit with this form of distillation."""
    changes |= {"distillation": form, "steps": 10, "capacity": 100}
    return dataclasses.replace(DEBUG.lift, **changes)


def noisy_grid():
    """Frames, depth and cameras: coloured noise on a bumpy wall, seen from an arc."""
    data, rng = DEBUG.data, np.random.default_rng(0)
    size = data.views, data.frames, data.height, data.width
    given = rng.uniform(0, 1, (*size, 3)), rng.uniform(0.9, 1.1, size[1:]), arc(*size)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), given)


@pytest.fixture(scope="module")
def params():
    """None of them zero, so that the prior says something."""
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: x + 0.05 * rng.normal(size=x.shape).astype(np.float32),
        init_params(DEBUG.model, jax.random.key(2)),
    )


def test_a_larger_grid_is_judged_at_the_size_that_the_prior_has_learned(params):
    """The loss goes through the shrinking: it is that of the shrunk pictures, by the same prior."""
    frames, depth, cameras = noisy_grid()
    larger = jnp.repeat(jnp.repeat(frames, 2, 2), 2, 3)
    wide = dataclasses.replace(
        cameras,
        intrinsics=cameras.intrinsics * jnp.array([2.0, 2.0, 1.0])[None, :, None],
        height=2 * cameras.height,
        width=2 * cameras.width,
    )
    twice = jnp.repeat(jnp.repeat(depth, 2, 1), 2, 2)
    prior = Prior(DEBUG.model, SamplerConfig(steps=3), params)
    rows = frames.shape[2]
    large = halfway_teacher("gradient", prior, larger[0], twice, wide, rows=rows)

    def shrunk(video):
        return jax.image.resize(video, (*video.shape[:2], *frames.shape[2:]), "linear")

    small = halfway_teacher("gradient", prior, shrunk(larger[:1])[0], depth, cameras)
    # Renders stay as large as the grid.
    assert large.cameras.height == 2 * small.cameras.height
    for a, b in zip(*map(jax.tree.leaves, (small.params, large.params)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)

    def loss(video, teacher):
        return distillation_loss(
            video,
            lambda z, tau: teacher.velocity(teacher.params, z, tau),
            lambda video: teacher.encode(teacher.params, video),
            jnp.float32(0.7),
            jax.random.key(0),
        )

    gradient = jax.jit(jax.grad(lambda video: loss(video, large)))(larger[1:])
    expected = jax.jit(jax.grad(lambda video: loss(shrunk(video), small)))(larger[1:])
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert float(jnp.abs(gradient).max()) > 1e-5


@pytest.mark.slow
def test_both_forms_change_the_scene_and_none_needs_no_prior(params):
    key = jax.random.key(0)
    frames, depth, cameras = noisy_grid()
    grid = around_source(to_uint8(frames), np.asarray(depth)[None], cameras)
    prior = Prior(DEBUG.model, DEBUG.sampler, params)
    part = {"distilled_views": 1, "distilled_frames": 1}
    found = [
        np.asarray(lift_grid(settings, grid, key, prior=prior).gaussians.means)
        for settings, prior in (
            (with_form("gradient", **part), prior),
            (with_form("cached"), prior),
            (with_form("none"), None),
        )
    ]
    for means in found[:2]:
        assert np.isfinite(means).all()
        assert np.abs(means - found[2]).max() > 1e-4
