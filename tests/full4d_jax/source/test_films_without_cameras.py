"""Cameras of synchronized videos are found, or the videos that do not fit together are named."""

import cv2
import numpy as np
import pytest
from refused import refusal
from textured_room import render, textures

from full4d_jax.cli import main
from full4d_jax.geometry.rig import Rig, moving_cameras
from full4d_jax.grid import Origin
from full4d_jax.media.video_io import write_video
from full4d_jax.source import films_without_cameras
from full4d_jax.source.capture_source import open_capture
from full4d_jax.source.options import CaptureOptions
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.pinhole import centers, intrinsics_from_fov, orbit, rigid

VIEWS = 6
STEP = 15.0  # degrees from one camera to the next
INSTANTS = 2
SIZE = 96, 128
FOV = 48.0
FPS = 8


def arc() -> np.ndarray:
    """World-to-camera (6 4 4) of cameras in a room, on an arc that climbs."""
    azimuth = STEP * (np.arange(VIEWS) - (VIEWS - 1) / 2)
    return orbit(azimuth, np.linspace(-4, 9, VIEWS), 1.8, (0.0, 0.0, 0.6))


@pytest.fixture(scope="module")
def rig_folder(tmp_path_factory):
    """Six videos of a room whose walls change at each instant: no point is seen at two."""
    path = tmp_path_factory.mktemp("rig")
    lens = intrinsics_from_fov(FOV, *SIZE)
    walls = [textures(instant) for instant in range(INSTANTS)]
    for view, pose in enumerate(arc()):
        film = np.stack(
            [render(lens, pose, *SIZE, wall, np.zeros(8))[0] for wall in walls]
        )
        write_video(path / f"cam{view + 1}.mp4", film, FPS)
    return path


@pytest.mark.extra("pycolmap")
def test_cameras_of_synchronized_films_are_found(rig_folder):
    grid = open_capture(CaptureOptions(rig_folder, held_out="none"))
    assert grid.frames.shape == (VIEWS, INSTANTS, *SIZE, 3)
    assert (grid.origin == Origin.GENERATED).all()
    focal = intrinsics_from_fov(FOV, *SIZE)[0, 0]
    np.testing.assert_allclose(grid.known_cameras.intrinsics[:, 0, 0], focal, rtol=0.02)
    poses = grid.known_cameras.world_to_camera[:, 0].astype(np.float64)
    truth = arc() @ np.linalg.inv(arc()[0])  # both have the first camera's world
    turns = poses[:, :3, :3] @ np.swapaxes(truth[:, :3, :3], 1, 2)
    off = np.degrees(
        np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    )
    assert off.max() < 0.5
    # The unit is the distance to the place that all look at.
    assert np.linalg.norm(centers(poses) - centers(truth) / 1.8, axis=1).max() < 0.01
    assert "cameras by structure from motion" in grid.about.note


def test_an_import_takes_found_cameras(rig_folder, tmp_path, capsys, monkeypatch):
    lens = intrinsics_from_fov(FOV, *SIZE)
    rig = Rig([*range(VIEWS)], lens, arc(), 500, 0.1, 12.0, 0.95)
    seen = []

    def find_rig(frames: np.ndarray, what: str) -> Rig:
        seen.append((frames.shape, what))
        return rig

    monkeypatch.setattr(films_without_cameras, "find_rig", find_rig)
    assert (
        main(["data", "import", str(rig_folder), "--out", str(tmp_path / "set")]) == 0
    )
    assert seen == [((VIEWS, INSTANTS, *SIZE, 3), str(rig_folder))]
    lines = capsys.readouterr().out
    assert (
        f"{rig_folder}: films, since nothing tells cameras of the films cam1" in lines
    )
    assert "note: cameras by structure from motion: 500 points of 2 instants" in lines
    (clip,) = open_dataset(tmp_path / "set")
    assert clip.generated
    np.testing.assert_allclose(clip.world_to_camera[:, 0], arc(), atol=1e-6)
    np.testing.assert_allclose(clip.intrinsics, np.tile(lens, (VIEWS, 1, 1)), rtol=1e-6)


@pytest.mark.extra("pycolmap")
def test_a_film_of_something_else_is_named(rig_folder, tmp_path, capsys):
    for name in ("cam1", "cam2", "cam3"):
        (tmp_path / f"{name}.mp4").write_bytes(
            (rig_folder / f"{name}.mp4").read_bytes()
        )
    lens = intrinsics_from_fov(FOV, *SIZE)
    walls = textures(90), textures(91)
    film = [render(lens, arc()[3], *SIZE, wall, np.zeros(8))[0] for wall in walls]
    write_video(tmp_path / "stranger.mp4", np.stack(film), FPS)
    message = refusal(capsys, "run", tmp_path, "--out", tmp_path / "out")
    assert "structure from motion (stranger of 4 films not placed)" in message
    assert not (tmp_path / "out").exists()


def room_films(paths: np.ndarray) -> np.ndarray:
    """Videos (v t h w 3) of one room from world-to-camera (v t 4 4)."""
    lens = intrinsics_from_fov(FOV, *SIZE)
    walls = textures(0)
    return np.stack(
        [
            [render(lens, x, *SIZE, walls, np.zeros(8))[0] for x in film]
            for film in paths
        ]
    )


def moved(kind: str) -> np.ndarray:
    """Poses (6 4 4 4) of cameras that stand, but for the third one's; or half of all."""
    paths = np.tile(arc()[:, None], (1, 4, 1, 1))
    steps = np.linspace(0, 0.3, 4)
    if kind == "turns":
        turns = [cv2.Rodrigues(np.array([0, step / 3, 0]))[0] for step in steps]
        paths[2] = rigid(np.stack(turns), np.zeros((4, 3))) @ arc()[2]
    elif kind == "goes aside":
        paths[2, :, 0, 3] += steps
    elif kind == "half of them":
        paths[::2, :, 0, 3] += steps
    return paths


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("stands", []),
        ("turns", [2]),
        ("goes aside", [2]),
        ("half of them", []),  # something that fills all pictures may move
    ],
)
def test_the_film_whose_camera_moves_is_known(kind, expected):
    assert moving_cameras(room_films(moved(kind))) == expected
