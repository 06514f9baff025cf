"""A capture is read into our world, or refused by field; it is lifted and rendered like a grid."""

import json
import shutil
import struct

import numpy as np
import pytest
from documented_world import write_rig
from textured_room import make_room

from full4d_jax.cli import main
from full4d_jax.grid import Origin
from full4d_jax.media.video_io import write_video
from full4d_jax.scene import scene_stage
from full4d_jax.session.errors import InputError
from full4d_jax.session.stages import Stages
from full4d_jax.source.capture_source import held_out_pictures, open_capture
from full4d_jax.source.opening import keep_capture
from full4d_jax.source.options import CaptureOptions
from input_pipeline.pinhole import (
    centers,
    intrinsics_from_fov,
    invert,
    nearest_to_axes,
    orbit,
)
from input_pipeline.transforms import decode_jpeg

SIDE = 16


def write(path, **changes):
    """Three cameras on an arc of radius 5 around a coloured ball of radius 1 at (1, 2, 3), cm."""
    middle = np.array([1.0, 2.0, 3.0])
    # `orbit` looks at (0, 0, 1) from distance 1.
    to_world = invert(orbit(np.array([-30.0, 0.0, 30.0]), np.zeros(3)))
    to_world[:, :3, 3] = (to_world[:, :3, 3] - [0, 0, 1]) * 5 + middle
    lens = intrinsics_from_fov(40.0, SIDE, SIDE)
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2) / lens[0, 0]
    ray = np.stack([x, y, np.ones_like(x)], -1)
    along, square = 5.0, (ray**2).sum(-1)  # |s ray - (0 0 5)| = 1
    root = along**2 - square * (25 - 1)
    depth = np.where(root > 0, (along - np.sqrt(np.maximum(root, 0))) / square, 0.0)
    colour = np.where(depth[..., None] > 0, [200, 120, 40], 0).astype(np.uint8)
    arrays = {
        "frames": np.tile(colour, (3, 2, 1, 1, 1)),
        "intrinsics": np.stack([lens] * 3),
        "world_to_camera": invert(to_world),
        "depth": np.tile(depth, (3, 2, 1, 1)),
    }
    arrays |= changes
    np.savez(
        path, **{name: value for name, value in arrays.items() if value is not None}
    )
    return path


def opened(path):
    return open_capture(CaptureOptions(path))


def test_the_folder_of_a_capture_is_read_as_it_is_imported(tmp_path):
    room = make_room(views=3, height=48, width=64, frames=2)
    pictures = np.array([[decode_jpeg(file) for file in view] for view in room.frames])
    write_rig(tmp_path / "all" / "rig", room, pictures)
    found = open_capture(CaptureOptions(tmp_path / "all" / "rig"))
    assert np.abs(found.frames.astype(int) - pictures).mean() < 8
    assert found.depth is not None
    np.testing.assert_allclose(
        found.known_cameras.intrinsics, room.intrinsics, rtol=1e-5
    )
    assert found.depth.shape == (3, 2, 48, 64)
    assert found.about.place is None
    shutil.copytree(tmp_path / "all" / "rig", tmp_path / "all" / "again")
    with pytest.raises(
        InputError, match="found 2 scenes, expected one; make a data set"
    ):
        open_capture(CaptureOptions(tmp_path / "all"))


def test_the_world_becomes_that_of_the_first_camera(tmp_path):
    given = opened(write(tmp_path / "a.npz"))
    assert given.depth is not None
    poses = given.known_cameras.world_to_camera
    assert poses.shape == (3, 2, 4, 4)
    np.testing.assert_allclose(poses[0, 0], np.eye(4), atol=1e-6)
    assert not given.follows_source
    first = given.depth[0, 0]
    np.testing.assert_allclose(np.median(first[first > 0]), 1, atol=1e-6)
    # With depth that of the ball's front, 4 to 5 cm, is the unit; without it that of its middle.
    step = 2 * np.sin(np.pi / 12)
    assert step < np.linalg.norm(centers(poses[1, 0])) < 5 / 4 * step
    found = opened(write(tmp_path / "b.npz", depth=None))
    poses = found.known_cameras.world_to_camera
    middle = nearest_to_axes(poses[:, 0])
    assert middle is not None
    np.testing.assert_allclose(middle, [0, 0, 1], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(centers(poses[1, 0])), step, rtol=1e-5)
    assert found.depth is found.masks is None


@pytest.mark.parametrize(
    ("views", "instants", "wanted", "expected"),
    [
        (8, 3, "auto", [(4, 0), (4, 1), (4, 2)]),
        (7, 13, "auto", [(view, 4) for view in range(7)]),  # not 12, the last
        (16, 16, "none", []),
    ],
)
def test_one_view_in_eight_is_held_out_or_one_instant(
    views, instants, wanted, expected
):
    held_out = held_out_pictures(views, instants, wanted)
    assert list(map(tuple, np.argwhere(held_out).tolist())) == expected


def test_points_come_into_our_world(tmp_path):
    middle = np.array([1.0, 2.0, 3.0])  # where the cameras look, of the file's world
    (tmp_path / "points3D.txt").write_text("# rows\n7 1 2 3 255 0 51 0.5 1 2\n\n")
    row = struct.pack("<Q3d3BdQ", 7, *middle, 255, 0, 51, 0.5, 2) + bytes(16)
    (tmp_path / "points3D.bin").write_bytes(struct.pack("<Q", 1) + row)
    words = ["ply", "format ascii 1.0", "element vertex 1"]
    words += [f"property float {x}" for x in "xyz"]
    words += [f"property uchar {x}" for x in ("red", "green", "blue")]
    text = "\n".join([*words, "end_header", "1 2 3 255 0 51", ""])
    (tmp_path / "a.ply").write_text(text)
    capture = write(tmp_path / "a.npz", depth=None)
    for name in ("points3D.txt", "points3D.bin", "a.ply"):
        found = open_capture(CaptureOptions(capture, points=tmp_path / name)).cloud
        assert found is not None
        np.testing.assert_allclose(found, [[0, 0, 1, 1, 0, 0.2]], atol=1e-6)
    (tmp_path / "nan.ply").write_text(text.replace("1 2 3", "1 nan 3"))
    with pytest.raises(InputError, match=r"points: .*give another file as --points"):
        open_capture(CaptureOptions(capture, points=tmp_path / "nan.ply"))


def test_masks_come_with_the_capture(tmp_path):
    masks = np.zeros((3, 2, SIDE, SIDE), np.uint8)
    masks[:, :, 4:12] = 255
    path = write(tmp_path / "a.npz", masks=masks, depth=None)
    stages = Stages(tmp_path, say=lambda line: None)
    keep_capture(stages, opened(path))
    np.testing.assert_array_equal(stages.arrays["grid"]["masks"], masks > 0)
    assert "depth" not in stages.arrays["grid"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"frames": np.zeros((3, 2, 8, 8, 3))},
            "frames: found float64 .* expected uint8",
        ),
        (
            {"intrinsics": np.tile([[20.0, 1, 8], [0, 20, 8], [0, 0, 1]], (3, 1, 1))},
            "intrinsics: found skew 1.0, expected none: undistort and rectify",
        ),
    ],
)
def test_unusable_captures_are_refused_by_field(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        opened(write(tmp_path / "a.npz", **changes))


@pytest.mark.slow
def test_a_capture_is_lifted_without_a_prior_and_rendered(
    tmp_path, capsys, monkeypatch
):
    def never(*_):
        raise AssertionError("a prior was looked for")

    monkeypatch.setattr(scene_stage, "prior_path", never)
    monkeypatch.setattr(scene_stage, "open_prior", never)
    capture, out = write(tmp_path / "ball.npz"), tmp_path / "out"
    small = ["--lift.steps", "60", "--lift.capacity", "200"]
    assert main(["lift", str(capture), "--out", str(out), *small]) == 0
    said = capsys.readouterr()
    assert "200 Gaussians to 3 views of 2 frames" in said.out
    assert float(said.err.split("psnr ")[-1].split(",")[0]) > 20
    assert main(["render", str(out), "--size", "32", "--orbit_seconds", "1"]) == 0
    assert (out / "scene.html").stat().st_size > 1000


def test_generated_pictures_are_thinned_out_and_said_to_be_generated(tmp_path):
    """Nine videos in 4DAnyone's layout, of a ball that grows before black."""
    views, folder = 9, tmp_path / "clip"
    poses = orbit(40.0 * np.arange(views), np.zeros(views), 1.0, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(40.0, 48, 32)
    y, x = np.mgrid[:48, :32] + 0.5
    inside = np.hypot(x - 16, y - 24) < 8 + np.arange(6)[:, None, None]
    film = np.where(inside[..., None], [200, 80, 40], 0).astype(np.uint8)
    (folder / "videos/dense").mkdir(parents=True)
    cameras = []
    for view, pose in enumerate(poses):
        name = f"videos/dense/{view:02d}.mp4"
        write_video(folder / name, film, 24)
        place = {"K": lens.tolist(), "camera_to_world": invert(pose).tolist()}
        size = {"image_width": 32, "image_height": 48}
        cameras.append({"camera_id": view, "video": name} | place | size)
    table = {"camera_model": "OPENCV", "cameras": cameras}
    (folder / "cameras.json").write_text(json.dumps(table))
    grid = open_capture(CaptureOptions(folder))
    assert grid.only_generated
    assert (grid.origin != Origin.REAL).all()
    assert grid.frames.shape == (views, 2, 48, 32, 3)  # 8 frames a second of 24
    np.testing.assert_allclose(grid.fps, 8, rtol=0.01)
