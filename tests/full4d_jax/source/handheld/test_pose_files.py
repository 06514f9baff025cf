"""A path from a file in each format, at the instants of a clip; files that do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from handheld_clips import (
    FRAMES,
    HEIGHT,
    LENS,
    WIDTH,
    arc,
    film,
    write_clip,
    write_poses,
)
from textured_room import FOV

from full4d_jax.config import Size
from full4d_jax.grid import DEFAULT_FPS, grid_arrays, grid_from
from full4d_jax.session.errors import InputError
from full4d_jax.source import video_source
from full4d_jax.source.handheld.path_scale import in_unit, settle_scale
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video_source
from input_pipeline.conventions import convert
from input_pipeline.pinhole import centers, invert, orbit, relative_to, rescale

SIZE = Size(1, FRAMES, HEIGHT, WIDTH)
UNIT = 7.0  # of the files, in which a unit of the room is so long


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "in.mp4", arc())


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Points are sought in frames of the clip's own size, which takes seconds less."""
    monkeypatch.setattr(video_source, "POINTS_SIDE", WIDTH)


def world() -> np.ndarray:
    """The true path in another world and unit."""
    poses = arc() @ orbit(40.0, 20.0, 3.0)
    return rescale(poses, 1 / UNIT)


def write_json(folder: Path, poses: np.ndarray) -> Path:
    return write_poses(folder / "path.json", poses)


def write_transforms(folder: Path, poses: np.ndarray) -> Path:
    """As nerfstudio writes it; in no order, and without the pictures."""
    matrices = convert(poses, "opencv", "nerfstudio")
    frames = [
        {"file_path": f"images/frame_{i:05d}.png", "transform_matrix": matrix.tolist()}
        for i, matrix in enumerate(matrices)
    ]
    lens = {
        "fl_x": LENS[0, 0],
        "cx": LENS[0, 2],
        "cy": LENS[1, 2],
        "w": WIDTH,
        "h": HEIGHT,
    }
    (folder / "transforms.json").write_text(json.dumps(lens | {"frames": frames[::-1]}))
    return folder


@pytest.mark.parametrize("write", [write_json, write_transforms])
def test_every_format_gives_the_path_and_settles_its_unit(tmp_path, video, write):
    file = write(tmp_path, world())
    source = open_video_source(SIZE, VideoOptions(video, poses=file), DEFAULT_FPS)
    poses = relative_to(arc(), arc()[0])
    assert source.points is not None
    found = np.asarray(source.known_cameras.world_to_camera[0])
    np.testing.assert_allclose(found, rescale(poses, 1 / UNIT), atol=1e-4)
    np.testing.assert_allclose(source.known_cameras.intrinsics[0], LENS, rtol=1e-4)
    assert f"{FOV:.4g} before cropping" in source.about.note
    # Frames whose estimates have a scale of their own come to one, and the path with them.
    true = film(arc())[1]
    wrong = true * np.linspace(0.5, 2, FRAMES)[:, None, None].astype(np.float32)
    kept = grid_from(grid_arrays(source))
    depth, unit = settle_scale(kept, wrong, estimated=True)
    middle = float(np.median(true[0]))
    np.testing.assert_allclose(unit, UNIT * middle, rtol=0.02)
    np.testing.assert_allclose(depth, true / middle, rtol=0.03)
    moved = in_unit(kept, unit).cameras
    assert moved is not None
    expected = centers(rescale(poses, middle))
    np.testing.assert_allclose(centers(moved.world_to_camera[0]), expected, atol=0.01)


def test_poses_at_another_rate_lie_between(tmp_path, video):
    """Every second frame, over the whole video: the others lie half-way."""
    file = write_json(tmp_path, world()[::2])
    source = open_video_source(SIZE, VideoOptions(video, poses=file), DEFAULT_FPS)
    found = centers(np.asarray(source.known_cameras.world_to_camera[0, : FRAMES - 1]))
    expected = centers(relative_to(world(), world()[0]))[: FRAMES - 1]
    np.testing.assert_allclose(found, expected, atol=0.01 * UNIT)
    options = VideoOptions(video, poses=write_json(tmp_path, world()), start=0.5)
    late = open_video_source(SIZE._replace(frames=3), options, DEFAULT_FPS)
    expected = relative_to(world()[4:7], world()[4])
    np.testing.assert_allclose(
        late.known_cameras.world_to_camera[0], expected, atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (invert, "of the matches"),  # camera-to-world
        (lambda poses: poses[:1], "found 1, expected 8"),
    ],
)
def test_poses_that_do_not_fit_are_refused(tmp_path, video, change, said):
    file = write_json(tmp_path, change(world()))
    with pytest.raises(InputError, match=said) as error:
        open_video_source(SIZE, VideoOptions(video, poses=file), DEFAULT_FPS)
    assert "path.json" in str(error.value)
