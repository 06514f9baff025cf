"""A path from a file in each format, at the instants of a clip; files that do not fit."""

import json
import re
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
from full4d_jax.grid import DEFAULT_FPS, Grid, grid_arrays, grid_from
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.file_network import FileNetwork
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.onnx_signatures import DEPTH_ANYTHING
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


def network() -> FileNetwork:
    """Network that sees the room, in another unit in every frame."""
    true = iter(film(arc())[1])
    units = iter(np.linspace(0.5, 2, FRAMES, dtype=np.float32))
    called = Network(
        lambda _: {"depth": (next(units) * next(true))[None]}, [1, 3, HEIGHT, WIDTH]
    )
    return FileNetwork(Path("x.onnx"), called, DEPTH_ANYTHING, "depth")


def opened(video: Path, poses: Path, **options) -> Grid:
    chosen = VideoOptions(video, poses=poses, **options)
    return open_video_source(SIZE, chosen, DEFAULT_FPS, network())


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
    source = opened(video, file)
    poses = relative_to(arc(), arc()[0])
    assert source.points is not None
    found = np.asarray(source.known_cameras.world_to_camera[0])
    np.testing.assert_allclose(found, rescale(poses, 1 / UNIT), atol=1e-4)
    np.testing.assert_allclose(source.known_cameras.intrinsics[0], LENS, rtol=1e-4)
    assert f"{FOV:.4g} before cropping" in source.about.note
    # Frames whose estimates have a scale of their own come to one, and the path with them.
    true = film(arc())[1]
    kept = grid_from(grid_arrays(source))
    assert kept.estimate is not None
    depth, unit = settle_scale(kept, kept.estimate, estimated=True)
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
    source = opened(video, file)
    found = centers(np.asarray(source.known_cameras.world_to_camera[0, : FRAMES - 1]))
    expected = centers(relative_to(world(), world()[0]))[: FRAMES - 1]
    np.testing.assert_allclose(found, expected, atol=0.01 * UNIT)
    options = VideoOptions(video, poses=write_json(tmp_path, world()), start=0.5)
    late = open_video_source(SIZE._replace(frames=3), options, DEFAULT_FPS, network())
    expected = relative_to(world()[4:7], world()[4])
    np.testing.assert_allclose(
        late.known_cameras.world_to_camera[0], expected, atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (invert, "better when read as camera-to-world"),
        (lambda poses: poses[::-1], "better when read in reversed time"),
        # Of another film.
        (lambda poses: poses[[3, 0, 5, 1, 7, 2, 6, 4]], "of the tracks agree"),
        (lambda poses: poses[:1], "found 1, expected 8"),
    ],
)
def test_poses_that_do_not_fit_are_refused(tmp_path, video, change, said):
    file = write_json(tmp_path, change(world()))
    with pytest.raises(InputError, match=said) as error:
        opened(video, file)
    assert "path.json" in str(error.value)


def test_a_lens_that_the_poses_do_not_fit_is_told(tmp_path, video):
    file = write_json(tmp_path, world())
    assert "another lens" not in opened(video, file).about.warning
    source = opened(video, file, fov=1.2 * FOV)
    assert (
        "the tracks and --poses tell another lens; check --fov" in source.about.warning
    )
    (degrees,) = re.findall(r"(\d+) degrees", source.about.warning)
    assert abs(float(degrees) - FOV) < 3


def test_a_lens_that_nobody_knows_follows_from_poses(tmp_path, video):
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"world_to_camera": world().tolist()}))
    lens = opened(video, file).known_cameras.intrinsics[0]
    np.testing.assert_allclose(lens, LENS, rtol=0.03)
