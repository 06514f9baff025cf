"""Straight lines tell the field of view, or nothing: drawn crates, one-point views, noise."""

import cv2
import numpy as np
import pytest

from full4d_jax.config import DataConfig
from full4d_jax.media.video import write_video
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.vanishing_points import (
    FOCAL_LENGTHS,
    Lines,
    field_of_view,
    lines_of,
    log_likelihoods,
    misses,
    plane_normals,
)
from full4d_jax.source.video_source import open_video_source

CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), -1).reshape(-1, 3)
EDGES = [(i, j) for i in range(8) for j in range(i) if np.abs(CORNERS[i] - CORNERS[j]).sum() == 2]
TURN = (-0.35, 0.6, 0.05)  # rotation vector of crates, radians: all vanishing points are finite


def crates(fov: float, height: int, width: int, turn=TURN, shear: float = 0.0) -> np.ndarray:
    """Return a picture (h w 3) of the edges of crates that stand parallel to each other.

    Args:
      fov: field of view along the long side, degrees.
      height: pixels.
      width: pixels.
      turn: rotation vector of the crates, radians.
      shear: what x adds to z, which leaves directions that are not orthogonal.
    """
    focal_length = max(height, width) / 2 / np.tan(np.radians(fov) / 2)
    picture = np.full((height, width, 3), 90, np.uint8)
    rng = np.random.default_rng(0)
    matrix = cv2.Rodrigues(np.array(turn))[0]
    for _ in range(14):
        corners = CORNERS * rng.uniform(0.3, 0.9, 3)
        corners[:, 2] += shear * corners[:, 0]
        reach = np.array([width, height]) / focal_length / 2
        middle = np.array([*rng.uniform(-0.8, 0.8, 2) * reach, 1.0]) * rng.uniform(3.5, 6)
        points = corners @ matrix.T + middle
        pixels = points[:, :2] / points[:, 2:] * focal_length + np.array([width, height]) / 2
        for i, j in EDGES:
            start, end = np.round(pixels[[i, j]] * 16).astype(int).tolist()
            cv2.line(picture, start, end, (210, 220, 230), 2, cv2.LINE_AA, shift=4)
    return picture


@pytest.mark.parametrize("fov", [40.0, 65.0, 95.0])
@pytest.mark.parametrize("size", [(256, 344), (344, 256)])
def test_crates_tell_the_lens(fov, size):
    seen = field_of_view(crates(fov, *size)[None])
    assert seen == pytest.approx(fov, abs=1.5)


def test_frames_of_a_moving_camera_have_one_lens():
    turns = [(-0.35, 0.5, 0.0), (-0.3, 0.6, 0.05), (-0.4, 0.7, 0.1)]
    frames = np.stack([crates(55.0, 256, 344, turn) for turn in turns])
    assert field_of_view(frames) == pytest.approx(55, abs=1.5)


def test_a_view_along_one_direction_tells_nothing():
    assert field_of_view(crates(65.0, 256, 344, turn=(0.0, 0.0, 0.0))[None]) is None


@pytest.mark.parametrize("size", [(256, 344), (16, 24)])
def test_noise_and_plain_pictures_tell_nothing(size):
    noise = np.random.default_rng(0).integers(0, 255, (2, *size, 3)).astype(np.uint8)
    assert field_of_view(noise) is None
    assert field_of_view(np.zeros((2, *size, 3), np.uint8)) is None


def test_lines_of_any_direction_tell_nothing():
    picture = np.full((256, 344, 3), 90, np.uint8)
    rng = np.random.default_rng(1)
    for _ in range(60):
        ends = rng.uniform(0, 256, (2, 2)).astype(int).tolist()
        cv2.line(picture, ends[0], ends[1], (220, 220, 220), 2, cv2.LINE_AA)
    assert field_of_view(picture[None]) is None


def test_a_frame_around_the_picture_is_no_line():
    picture = crates(65.0, 256, 344)
    count = len(lines_of(picture).middle)
    bordered = np.zeros_like(picture)
    bordered[2:-2, 2:-2] = picture[2:-2, 2:-2]
    assert len(lines_of(bordered).middle) <= count


def test_two_orthogonal_vanishing_points_tell_the_focal_length():
    # f^2 = -p . q, of the points of a rotation's rows.
    focal_length = 1.3
    axes = cv2.Rodrigues(np.array([0.5, 0.6, 0.1]))[0].T
    points = focal_length * axes[:, :2] / axes[:, 2:]
    assert np.sqrt(-points[0] @ points[1]) == pytest.approx(focal_length)

    # Segments toward each of them miss it by nothing, and only at that focal length all.
    middle = np.random.default_rng(0).uniform(-0.7, 0.7, (12, 2))
    toward = np.repeat(points, 4, 0) - middle
    along = toward / np.linalg.norm(toward, axis=1, keepdims=True)
    lines = Lines(middle, along, np.full(12, 0.01), np.full(12, 1 / 12))
    sines, reach = misses(axes[None], np.array([focal_length]), lines)
    own = np.repeat(np.arange(3), 4), np.arange(12)
    np.testing.assert_allclose(sines[0][own], 0, atol=1e-12)
    normals = plane_normals(lines, np.array([focal_length]))[0]
    np.testing.assert_allclose(axes @ normals.T, (sines * reach)[0], atol=1e-12)
    best = FOCAL_LENGTHS[log_likelihoods(lines).argmax()]
    assert np.log(best / focal_length) == pytest.approx(0, abs=0.06)


def test_segments_of_any_direction_have_no_likelihood():
    # A third of the pictures' segments in each direction would have it; these have none.
    rng = np.random.default_rng(3)
    angle = rng.uniform(0, np.pi, 40)
    along = np.stack([np.cos(angle), np.sin(angle)], 1)
    middle = rng.uniform(-0.7, 0.7, (40, 2))
    lines = Lines(middle, along, np.full(40, 0.02), np.full(40, 1 / 40))
    assert log_likelihoods(lines).max() < 0.5 * 40


def test_a_run_says_that_lines_told_the_lens(tmp_path):
    data = DataConfig(views=2, frames=2, height=256, width=256)
    frame = crates(60.0, 256, 344)
    write_video(tmp_path / "a.mp4", np.repeat(frame[None], 4, 0), 8)
    source = open_video_source(data, VideoOptions(tmp_path / "a.mp4"))
    assert "read from vanishing points of straight lines in the picture" in source.about.note
    assert "give --fov if you know it, as too large a value flattens" in source.about.note
    focal_length = 172 / np.tan(np.radians(30))  # the crop leaves it
    assert source.cameras is not None
    assert source.cameras.intrinsics[0, 0, 0] == pytest.approx(focal_length, rel=0.03)
    note = open_video_source(data, VideoOptions(tmp_path / "a.mp4", fov=50.0)).about.note
    assert "vanishing" not in note


def test_a_picture_that_stands_tells_its_horizontal_field_of_view(tmp_path):
    data = DataConfig(views=2, frames=2, height=344, width=256)
    write_video(tmp_path / "a.mp4", np.repeat(crates(60.0, 344, 256)[None], 4, 0), 8)
    source = open_video_source(data, VideoOptions(tmp_path / "a.mp4"))
    assert "vanishing" in source.about.note
    focal_length = 172 / np.tan(np.radians(30))
    assert source.cameras is not None
    assert source.cameras.intrinsics[0, 0, 0] == pytest.approx(focal_length, rel=0.03)
