"""What no view shows is filled in behind what the views show."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.scene.surroundings import look_angles, surround
from gaussians import DynamicGaussians, initialize, render
from input_pipeline.cameras import intrinsics_from_fov, orbit

HEIGHT, WIDTH, TIMES = 64, 96, 2
WALL, POST = np.array([0.2, 0.5, 0.8]), np.array([0.9, 0.2, 0.1])


@cache
def seen() -> tuple[DynamicGaussians, Cameras]:
    """Return a wall with a post before it, as one view shows them, and two cameras beside it."""
    lens = intrinsics_from_fov(60.0, HEIGHT, WIDTH).astype(np.float32)
    frames = np.broadcast_to(WALL, (1, TIMES, HEIGHT, WIDTH, 3)).astype(np.float32).copy()
    depth = np.full((1, TIMES, HEIGHT, WIDTH), 2.0, np.float32)
    frames[:, :, :, 40:52], depth[:, :, :, 40:52] = POST, 1.0
    poses = np.repeat(orbit(np.array([0.0, -10.0, 10.0]), 0.0)[:, None], TIMES, 1)
    poses = poses.astype(np.float32)
    scene = initialize(
        jnp.asarray(frames),
        jnp.asarray(depth),
        jnp.asarray(lens[None]),
        jnp.asarray(poses[:1]),
        12000,
        jax.random.key(0),
    )
    opaque = scene.gaussians._replace(logit_opacities=scene.gaussians.logit_opacities + 4)
    scene = scene._replace(gaussians=opaque)
    return scene, Cameras(np.repeat(lens[None], 3, 0), poses, HEIGHT, WIDTH)


@cache
def filled() -> DynamicGaussians:
    """Return the scene with Gaussians around it."""
    scene, cameras = seen()
    return surround(scene, cameras, jax.random.key(1))


def drawn(scene: DynamicGaussians, cameras: Cameras, azimuth: float, elevation: float):
    """Return the picture from a place of the orbit."""
    pose = jnp.asarray(orbit(azimuth, elevation).astype(np.float32))
    camera = replace(cameras.camera(0, 0), world_to_camera=pose)
    return render(scene.at(0.5), camera, antialiased=True)


@pytest.mark.slow
def test_that_a_camera_above_sees_a_blur_in_place_of_black() -> None:
    """The fill has the colours of the surroundings, the background's above all."""
    scene, cameras = seen()
    before, after = (drawn(x, cameras, 0.0, -8.0) for x in (scene, filled()))
    empty = np.asarray(before.alpha[:, :30]) < 0.2
    assert empty.mean() > 0.05
    assert np.asarray(after.alpha[:, :30])[empty].mean() > 0.8
    np.testing.assert_allclose(np.asarray(after.rgb[:, :30])[empty].mean(0), WALL, atol=0.12)


def test_that_the_gap_behind_the_post_shows_the_wall() -> None:
    """From the side one looks behind the post, where the only real view saw nothing."""
    scene, cameras = seen()
    before, after = (drawn(x, cameras, 12.0, 0.0) for x in (scene, filled()))
    gap = np.asarray(before.alpha) < 0.2
    gap[:, :12] = gap[:, -12:] = False
    assert gap.mean() > 0.03
    black, wall = (np.abs(np.asarray(x.rgb)[gap] - WALL).mean() for x in (before, after))
    assert wall < 0.6 * black


def test_that_the_source_hardly_changes() -> None:
    """New Gaussians lie outside its picture or behind what it shows."""
    scene, cameras = seen()
    around = filled()
    assert len(around.moments) > len(scene.moments)
    before, after = (drawn(x, cameras, 0.0, 0.0) for x in (scene, around))
    inside = np.abs(np.asarray(before.rgb - after.rgb))[2:-2, 2:-2]
    assert inside.mean() < 0.01
    assert inside.max() < 0.1


def test_that_new_gaussians_are_always_there_and_follow_the_key_alone() -> None:
    """A second call gives the same bits; the Gaussians of the fit stay first and as they are."""
    scene, cameras = seen()
    first = filled()
    second = surround(scene, cameras, jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    count = len(scene.moments)
    kept = jax.tree.map(lambda x: x[:count], first)
    jax.tree.map(np.testing.assert_array_equal, kept, scene)
    assert (np.asarray(first.logit_gates[count:]) > 0).all()
    assert not np.asarray(first.velocities[count:]).any()


@pytest.mark.parametrize("limit", [(12.0, 12.0), (180.0, 90.0)])
def test_that_looks_reach_the_limit_and_are_spread_over_it(limit: tuple[float, float]) -> None:
    angles = look_angles(limit)
    azimuths = np.unique(angles[:, 0])
    assert azimuths[0] == -limit[0]
    assert azimuths[-1] == limit[0]
    assert np.diff(azimuths).max() <= 45
    assert np.abs(angles[:, 1]).max() == min(limit[1], 75.0)


def test_that_nothing_is_made_of_nothing() -> None:
    """Pictures that show nothing give no colour to fill in."""
    scene, cameras = seen()
    faint = scene.gaussians._replace(logit_opacities=scene.gaussians.logit_opacities - 20)
    hidden = scene._replace(gaussians=faint)
    assert len(surround(hidden, cameras, jax.random.key(1)).moments) == len(scene.moments)
