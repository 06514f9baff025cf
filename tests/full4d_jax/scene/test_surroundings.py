"""Unseen regions are filled in behind the surfaces that views show."""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.scene.surroundings import surround
from gaussians import DynamicGaussians, initialize, render
from input_pipeline.pinhole import intrinsics_from_fov, orbit

HEIGHT, WIDTH, TIMES = 64, 96, 2
WALL, POST = np.array([0.2, 0.5, 0.8]), np.array([0.9, 0.2, 0.1])


@cache
def seen() -> tuple[DynamicGaussians, Cameras]:
    """Return a wall with a post before it, as one view shows them, and two cameras beside it."""
    lens = intrinsics_from_fov(60.0, HEIGHT, WIDTH).astype(np.float32)
    frames = (
        np.broadcast_to(WALL, (1, TIMES, HEIGHT, WIDTH, 3)).astype(np.float32).copy()
    )
    depth = np.full((1, TIMES, HEIGHT, WIDTH), 2.0, np.float32)
    frames[:, :, :, 40:52], depth[:, :, :, 40:52] = POST, 1.0
    poses = np.repeat(orbit(np.array([0.0, -10.0, 10.0]), 0.0)[:, None], TIMES, 1)
    poses = poses.astype(np.float32)
    colors, depths, lenses, path = map(
        jnp.asarray, (frames, depth, lens[None], poses[:1])
    )
    scene = initialize(colors, depths, lenses, path, 12000, jax.random.key(0))
    opaque = scene.gaussians._replace(
        logit_opacities=scene.gaussians.logit_opacities + 4
    )
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


def test_that_the_gap_behind_the_post_shows_the_wall() -> None:
    """From the side one looks behind the post, where the only real view saw nothing."""
    scene, cameras = seen()
    before, after = (drawn(x, cameras, 12.0, 0.0) for x in (scene, filled()))
    gap = np.asarray(before.alpha) < 0.2
    gap[:, :12] = gap[:, -12:] = False
    assert gap.mean() > 0.03
    black, wall = (
        np.abs(np.asarray(x.rgb)[gap] - WALL).mean() for x in (before, after)
    )
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
