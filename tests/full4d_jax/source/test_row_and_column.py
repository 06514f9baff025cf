"""The cameras of a grid: from poses or from the pictures."""

from pathlib import Path

import numpy as np
import pytest
from handheld_clips import HEIGHT, LENS, arc, film, path_error, write_poses
from textured_room import FOV

from full4d_jax.config import Size
from full4d_jax.grid import DEFAULT_FPS, grid_arrays, grid_from
from full4d_jax.media.video_io import write_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.handheld import find_path
from full4d_jax.source.options import TwoVideosOptions
from full4d_jax.source.row_and_column import open_two_videos
from input_pipeline.pinhole import centers, nearest_to_axes, relative_to, rescale

SIZE = Size(views=3, frames=2, height=32, width=32)
TAKEN = slice(0, None, 4)  # frames of the videos that are the column
# World-to-camera of a camera that walks around a place, which all frames look at.
WALK = arc(9)


def write(folder: Path, poses: np.ndarray) -> Path:
    """A video of 12 frames a second, of which 3 a second are taken."""
    write_video(folder / "column.mp4", film(poses)[0], 12)
    return folder / "column.mp4"


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Points are followed in frames of the videos' own size, which takes seconds less."""
    monkeypatch.setattr(find_path, "TRACKED_SIDE", 5 * SIZE.height)


def test_poses_place_the_views_where_the_column_was_filmed(tmp_path):
    poses = write_poses(tmp_path / "poses.json", rescale(WALK, 0.2))
    column = write(tmp_path, WALK)
    source = open_two_videos(
        SIZE, TwoVideosOptions(freeze_time=column, poses=poses, fps=3), DEFAULT_FPS
    )
    cameras = grid_from(grid_arrays(source)).known_cameras
    assert source.about.unposed == ""
    found = np.asarray(cameras.world_to_camera)
    assert found.shape == (3, 2, 4, 4)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])  # each stands still
    true = relative_to(WALK, WALK[0])[TAKEN]
    middle = nearest_to_axes(true)
    assert middle is not None
    unit = float(np.linalg.norm(middle))
    np.testing.assert_allclose(found[:, 0], rescale(true, unit), atol=1e-4)
    # The picture is the middle of the video's, whose lens the file tells.
    focal = LENS[0, 0] * SIZE.height / HEIGHT
    np.testing.assert_allclose(cameras.intrinsics[:, 0, 0], focal, rtol=1e-3)
    assert any(f"stand {angle} degrees apart" in source.about.note for angle in (8, 9))


@pytest.mark.parametrize("repeats", [1, 4])
def test_a_column_of_stills_need_not_be_one_shot(tmp_path, repeats):
    """A rig's cameras may share nothing; with frames between those taken, it is a film."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (SIZE.views, 4, 4, 3), np.uint8)
    stills = blocks.repeat(SIZE.height // 4, 1).repeat(SIZE.width // 4, 2)
    column = tmp_path / "column.mp4"
    write_video(column, stills.repeat(repeats, 0), 3 * repeats)
    options = TwoVideosOptions(freeze_time=column, fps=3)
    if repeats > 1:
        with pytest.raises(InputError, match="another shot at"):
            open_two_videos(SIZE, options, DEFAULT_FPS)
        return
    source = open_two_videos(SIZE, options, DEFAULT_FPS)
    error = np.abs(source.frames[:, 0].astype(float) - stills).mean()
    assert error < 10
    assert source.about.unposed


def test_pictures_place_them_by_more_frames_than_the_column_has(tmp_path):
    options = TwoVideosOptions(freeze_time=write(tmp_path, WALK), fps=3, fov=FOV)
    source = open_two_videos(SIZE, options, DEFAULT_FPS)
    assert "its camera travels" in source.about.note
    found = np.asarray(source.known_cameras.world_to_camera[:, 0], np.float64)
    assert path_error(found, WALK[TAKEN]) < 0.05
    assert np.linalg.norm(centers(found)[-1]) > 0.1  # about 9 degrees at distance 1
