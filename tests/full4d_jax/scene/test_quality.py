"""How well a scene shows its source, against numbers worked out by hand."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.quality import (
    SourceQuality,
    psnr_between,
    quality_note,
    quality_warning,
    score_arrays,
    score_scene,
    source_quality,
)
from gaussians import Gaussians, render, still
from input_pipeline.cameras import intrinsics_from_fov, orbit

TIMES = np.array([2.0, 2.5, 3.0, 3.5, 4.0])
RESTING = np.tile(np.eye(4), (5, 1, 1))


@pytest.fixture
def frames() -> np.ndarray:
    """A grey checkerboard over which a white square of 4 pixels passes at three instants."""
    picture = np.where(np.indices((20, 20)).sum(0) % 2, 100, 110).astype(np.uint8)
    frames = np.repeat(picture[None, ..., None], 5, 0).repeat(3, -1)
    for instant in range(3):
        frames[instant, 2:4, 5 * instant : 5 * instant + 2] = 250
    return frames


def decibels(levels: float) -> float:
    return -20 * math.log10(levels / 255)


def test_errors_of_what_moves_are_told_apart_from_those_of_the_rest(frames):
    renders = frames.copy()
    renders[0, 2:4, :2] -= 10  # of the square
    renders[2, 2:4, 10:12] -= 40
    renders[3:, :, :] += 2  # of instants where nothing moves
    quality = source_quality(renders, frames, TIMES, RESTING)
    pooled = math.sqrt((10**2 + 0 + 40**2) / 3)
    whole = math.sqrt((4 * 10**2 + 4 * 40**2 + 2 * 400 * 2**2) / (5 * 400))
    assert quality.moving_psnr == pytest.approx(decibels(pooled), abs=1e-4)
    assert quality.moving_psnr_worst == pytest.approx(decibels(40), abs=1e-4)
    assert quality.moving_psnr_worst_at == 3.0
    assert quality.source_psnr == pytest.approx(decibels(whole), abs=1e-4)


def test_pictures_between_are_judged_where_they_differ_from_the_median(frames):
    picture = frames[3:4].copy()
    picture[0, 8:10, 8:10] = 250
    render = picture + np.uint8(5)  # of everything
    render[0, 8:10, 8:10] = 230
    assert psnr_between(render, picture, frames) == pytest.approx(decibels(20), abs=1e-4)
    assert math.isnan(psnr_between(render, frames[3:4], frames))


def test_sharpness_is_the_share_of_the_laplacian_that_is_left(frames):
    # With half the contrast the Laplacian is half as large and its variance a quarter.
    mean = 105.0
    halved = (mean + (frames[3:].astype(float) - mean) * 0.4).astype(np.uint8)  # 103 and 107
    quality = source_quality(halved, frames[3:], TIMES[:2], RESTING[:2])
    assert quality.sharpness == pytest.approx(0.16)
    assert source_quality(frames, frames, TIMES, RESTING).sharpness == 1


def test_where_the_camera_moves_only_the_whole_picture_is_scored(frames):
    path = RESTING.copy()
    path[:, 0, 3] = np.linspace(0, 0.1, 5)
    quality = source_quality(frames, frames, TIMES, path)
    assert math.isnan(quality.moving_psnr)
    assert math.isnan(quality.moving_psnr_worst)
    assert quality.sharpness == 1
    assert "the camera does" in quality_note(quality)
    assert quality_warning(quality) == ""


def test_warnings_name_the_instant_and_what_to_try():
    smeared = SourceQuality(30.5, 21.5, 17.6, 1.25, 0.28)
    warning = quality_warning(smeared)
    for part in (
        "at 1.2 s is shown at 17.6 dB",
        "--depth_network",
        "0.28 of the video's sharpness",
    ):
        assert part in warning
    fine = smeared._replace(moving_psnr_worst=27.0, sharpness=0.7, straightness=0.004)
    assert quality_warning(fine) == ""
    bent = fine._replace(straightness=0.021, straightness_worst_at=1.5)
    assert str(score_arrays(bent)["warning"]) == quality_warning(bent) != ""


def test_a_scene_is_scored_against_its_own_renders_in_the_source_camera():
    size = {"height": 48, "width": 64}
    ball = Gaussians(
        means=jnp.array([[-0.2, 0.0, 1.0]]),
        quaternions=jnp.array([[1.0, 0.0, 0.0, 0.0]]),
        log_scales=jnp.full((1, 3), jnp.log(0.08)),
        logit_opacities=jnp.full(1, 3.0),
        harmonics=jnp.array([[[1.7, -1.0, -1.7]]]),
    )
    scene = still(ball)._replace(velocities=jnp.array([[0.4, 0.0, 0.0]]))
    lenses = np.tile(intrinsics_from_fov(55.0, **size).astype(np.float32), (2, 1, 1))
    poses = orbit(np.array([0.0, 20.0]), np.zeros(2)).astype(np.float32)
    cameras = Cameras(lenses, np.repeat(poses[:, None], 3, 1), **size)
    shown = [
        to_uint8(render(scene.at(time), cameras.camera(0, 0), antialiased=True).rgb)
        for time in (0.0, 0.5, 1.0)
    ]
    frames, depth, times = np.stack(shown), np.ones((3, 48, 64)), np.array([4.0, 5.0, 6.0])
    quality = score_scene(scene, frames, depth, times, cameras)
    assert quality.source_psnr == quality.moving_psnr == math.inf
    assert quality.sharpness == 1
    # With the last two instants swapped, the ball is where it should not be.
    late = score_scene(scene, frames[[0, 2, 1]], depth, times, cameras)
    assert late.moving_psnr < 15
    assert late.moving_psnr_worst_at in (5.0, 6.0)
    # A frame with straight lines: before a plane they stay straight, before a bowl they do not.
    frames[:, 10:40, 20:44] = 255
    flat = score_scene(scene, frames, depth, times, cameras)
    y, x = np.indices((48, 64)) / 64 - 0.5
    bowl = np.broadcast_to(1 + 2 * (x**2 + y**2), (3, 48, 64))
    assert flat.straightness < 1e-6
    assert score_scene(scene, frames, bowl, times, cameras).straightness > 0.002
