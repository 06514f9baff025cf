"""The videos and pictures of a run, read back; the shared budget never costs a splat."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.media.video_io import read_video
from full4d_jax.scene.renders import scene_renderer, write_film, write_renders
from full4d_jax.scene.show_options import RenderOptions
from gaussians import (
    Camera,
    DynamicGaussians,
    Gaussians,
    intersection_budget,
    render,
    still,
)
from input_pipeline.importers.camera_path import CameraPath
from input_pipeline.pinhole import intrinsics_from_fov, orbit

LENS = intrinsics_from_fov(55.0, 32, 48).astype(np.float32)


@pytest.fixture
def scene() -> DynamicGaussians:
    """A red ball that goes from left to right, and a green one that stands still."""
    static = Gaussians(
        means=jnp.array([[-0.2, 0.0, 1.0], [0.1, 0.1, 1.2]]),
        quaternions=jnp.array([[1.0, 0.0, 0.0, 0.0]] * 2),
        log_scales=jnp.full((2, 3), jnp.log(0.05)),
        logit_opacities=jnp.full(2, 3.0),
        harmonics=jnp.array([[[1.7, -1.7, -1.7]], [[-1.7, 1.7, -1.7]]]),
    )
    return still(static)._replace(
        velocities=jnp.array([[0.4, 0.0, 0.0], [0.0, 0.0, 0.0]])
    )


def test_renderer_draws_what_render_draws_even_when_its_budget_is_too_small(scene):
    crowd = jax.tree.map(lambda x: jnp.repeat(x, 300, 0), scene)
    faint = crowd.gaussians._replace(logit_opacities=jnp.full(600, -4.0))
    crowd = crowd._replace(gaussians=faint)
    close = orbit(np.zeros(1), np.zeros(1), distance=0.3).astype(np.float32)
    far = orbit(np.zeros(1), np.zeros(1), distance=8.0).astype(np.float32)
    camera = Camera(jnp.asarray(close[0]), jnp.asarray(LENS), 48, 32)
    small = intersection_budget(
        crowd.at(0.5), replace(camera, world_to_camera=jnp.asarray(far[0])), slack=1.4
    )
    expected = render(crowd.at(0.5), camera, antialiased=True)
    assert render(crowd.at(0.5), camera, max_intersections=small).overflow > 0
    draw = scene_renderer(crowd, Cameras(LENS[None], far[None], 32, 48))
    found = np.clip(draw(camera, 0.5).rgb, 0, 1)
    np.testing.assert_allclose(found, np.clip(expected.rgb, 0, 1), atol=1 / 255)


def test_rendered_videos_move_and_stand_still_in_time(tmp_path, scene):
    write_renders(
        tmp_path,
        scene,
        Cameras(LENS[None], np.eye(4, dtype=np.float32)[None, None], 32, 48),
        RenderOptions(size=64, orbit_seconds=0.5, sweep=10.0),
    )
    clips = {}
    for name in ("orbit", "bullet"):
        video = read_video(
            tmp_path / f"{name}.mp4", height=64, width=96, frames=12, fps=24
        )
        red = video.frames[..., 0].astype(float) - video.frames[..., 1]
        columns = np.arange(96)[None, None]
        clips[name] = ((red > 60) * columns).sum((1, 2)) / (red > 60).sum((1, 2))
    assert np.ptp(clips["orbit"]) > 20  # the ball crosses a third of the picture
    assert np.ptp(clips["bullet"]) < 12
    assert (tmp_path / "scene.png").stat().st_size > 0


def test_a_film_is_what_render_draws_along_a_path(tmp_path, scene):
    poses = orbit(np.array([-20.0, 0.0, 20.0]), np.zeros(3))
    lens = intrinsics_from_fov(40.0, 64, 96)
    path = CameraPath(poses, lens, (64, 96), np.array([1.0, 0.5, 0.0]), 6.0)
    source = Cameras(LENS[None], np.eye(4, dtype=np.float32)[None, None], 32, 48)
    write_film(tmp_path / "path.mp4", scene, path, source, size=128)
    film = read_video(tmp_path / "path.mp4", height=128, width=192, frames=3, fps=6)
    frames = film.frames
    wide = jnp.asarray(intrinsics_from_fov(40.0, 128, 192), jnp.float32)
    for pose, time, frame in zip(poses, (1.0, 0.5, 0.0), frames, strict=True):
        camera = Camera(jnp.asarray(pose, jnp.float32), wide, 192, 128)
        drawn = np.clip(render(scene.at(time), camera, antialiased=True).rgb, 0, 1)
        assert ((frame / 255 - drawn) ** 2).mean() < 10**-2.8
    path = CameraPath(poses, None, None)
    write_film(tmp_path / "plain.mp4", scene, path, source, size=32)
    plain = read_video(tmp_path / "plain.mp4", height=32, width=48, frames=3, fps=24)
    np.testing.assert_allclose(plain.timestamps, np.arange(3) / 24, atol=1e-3)
