"""Presets against their own angles read back; files that are read, or refused by name."""

import json

import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import Size
from full4d_jax.session.errors import InputError
from full4d_jax.source.camera_paths import (
    PIVOT,
    angles_of,
    around_upright,
    following,
    grid_cameras,
    look_at_subject,
    pivot_of,
    range_warning,
    read_targets,
    still_camera,
    subject_depth,
    up_of,
)
from full4d_jax.source.options import PathOptions
from input_pipeline.pinhole import intrinsics_from_fov, orbit

LENS = intrinsics_from_fov(55.0, 64, 64)
SIZE = Size(views=5, frames=3, height=64, width=64)


@pytest.mark.parametrize("preset", ["arc", "ring", "spiral"])
def test_targets_are_distinct_look_at_the_pivot_and_stay_in_range(preset):
    views = SIZE.views
    targets = read_targets(PathOptions(preset, azimuth=50.0, elevation=10.0), SIZE)
    path = grid_cameras(still_camera(LENS, SIZE), targets)
    assert path.world_to_camera.shape == (views, 3, 4, 4)
    np.testing.assert_allclose(path.world_to_camera[0, 0], np.eye(4), atol=1e-6)
    seen = np.einsum("vij,j->vi", path.world_to_camera[:, 0], [*PIVOT, 1])
    np.testing.assert_allclose(seen, np.tile([0, 0, 1, 1], (views, 1)), atol=1e-6)
    angles = angles_of(path.world_to_camera[:, 0])
    assert (np.abs(angles).max(0) <= np.array([50, 10]) + 1e-4).all()
    gaps = np.linalg.norm(angles[:, None] - angles[None], axis=-1) + 1e3 * np.eye(views)
    assert gaps.min() > 5


def test_cameras_go_around_what_is_upright():
    """Up stays where it is in every picture, at the same height, and the cameras tell it."""
    up = (0.0, -np.cos(np.radians(25.0)), -np.sin(np.radians(25.0)))
    level = read_targets(PathOptions("arc", azimuth=20.0), Size(3, 1, 64, 64))
    poses = around_upright(level, up).world_to_camera[:, 0]
    np.testing.assert_allclose(poses[:, :3, :3] @ up, [up, up], atol=1e-6)
    np.testing.assert_allclose(poses @ [*PIVOT, 1], [[*PIVOT, 1]] * 2, atol=1e-6)
    turned = np.degrees(np.arccos((np.trace(poses[0, :3, :3]) - 1) / 2))
    assert turned == pytest.approx(20.0, abs=1e-3)
    np.testing.assert_allclose(
        up_of(np.stack([np.eye(4), *poses])[:, None]), up, atol=2e-3
    )
    np.testing.assert_allclose(up_of(np.eye(4)[None, None]), [0, -1, 0], atol=1e-6)


def test_presets_look_at_what_moves():
    depth = np.full((5, 16, 16), 1.5, np.float32)
    passing = np.zeros(depth.shape, bool)
    assert subject_depth(depth, passing) == 1.0  # nothing moves
    for t in range(5):
        passing[t, 4:8, 3 * t : 3 * t + 2] = True
    depth[passing] = 0.4
    assert subject_depth(depth, passing) == pytest.approx(0.4)
    depth[depth < 1] = 0  # unknown
    assert subject_depth(depth, passing) == 1.0

    preset = read_targets(PathOptions("ring", azimuth=20.0, elevation=8.0), SIZE)
    near = grid_cameras(still_camera(LENS, SIZE), look_at_subject(preset, 0.4))
    pivot = pivot_of(near.world_to_camera)
    np.testing.assert_allclose(pivot, [0, 0, 0.4], atol=1e-6)
    angles = angles_of(near.world_to_camera[1:], pivot)
    np.testing.assert_allclose(angles, angles_of(preset.world_to_camera), atol=1e-3)


def test_targets_that_follow_keep_their_place_beside_a_moving_source():
    path = orbit(np.array([0.0, 5.0, 12.0]), np.array([0.0, 2.0, -3.0]))[None]
    source = Cameras(LENS[None], path, 64, 64)
    preset = read_targets(PathOptions("arc", azimuth=20.0), SIZE._replace(views=3))
    cameras = grid_cameras(source, following(preset, source))
    relative = cameras.world_to_camera @ np.linalg.inv(path)
    np.testing.assert_allclose(relative[1:], preset.world_to_camera, atol=1e-6)
    assert range_warning(cameras.world_to_camera, 20.0, 5.0) == ""
    standing = grid_cameras(source, preset)
    np.testing.assert_array_equal(standing.world_to_camera[1:], preset.world_to_camera)
    assert "azimuth 32" in range_warning(standing.world_to_camera, 20.0, 5.0)


def write(path, **content):
    path.write_text(json.dumps(content))
    return path


def test_file_round_trip_with_moving_cameras_and_scaled_intrinsics(tmp_path):
    poses = orbit(
        np.array([[10.0, 20.0, 30.0], [-10.0, -10.0, -10.0]]), np.zeros((2, 3))
    )
    lens = intrinsics_from_fov(40.0, 480, 640)
    own = {"intrinsics": [lens.tolist()] * 2, "image_size": [640, 480]}
    path = write(tmp_path / "c.json", world_to_camera=poses.tolist(), **own)
    size = SIZE._replace(height=48)
    targets = read_targets(PathOptions(str(path)), size)
    views = grid_cameras(still_camera(LENS, size), targets)
    np.testing.assert_allclose(views.world_to_camera[1:], poses, atol=1e-6)
    assert (views.world_to_camera[0] == np.eye(4)).all()
    small = intrinsics_from_fov(40.0, 48, 64)
    np.testing.assert_allclose(views.intrinsics[1], small, rtol=1e-6)
    still = write(tmp_path / "s.json", world_to_camera=poses[:, 0].tolist())
    targets = read_targets(PathOptions(str(still)), SIZE._replace(frames=5))
    assert targets.world_to_camera.shape == (2, 5, 4, 4)


def test_wrong_files_are_refused_by_name(tmp_path):
    good = orbit(np.array([10.0, 20.0]), np.zeros(2))
    wrong = {r"shape \(2, 3, 4\)": good[:, :3], "determinant": good * [[1, 1, -1, 1]]}
    for found, poses in wrong.items():
        path = write(tmp_path / "c.json", world_to_camera=poses.tolist())
        with pytest.raises(InputError, match=rf"c\.json.*{found}"):
            read_targets(PathOptions(str(path)), SIZE)
