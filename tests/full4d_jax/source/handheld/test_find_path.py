"""Paths that are found in pictures of a room against the true ones, and honest refusals."""

import cv2
import numpy as np
import pytest
from handheld_clips import FRAMES, LENS, add_person, arc, film, path_error, shake

from full4d_jax.geometry.paths import travels, turning_path
from full4d_jax.geometry.tracking import find_turning, steadied
from full4d_jax.source.handheld.find_path import NOTICEABLE_MOTION, find_path
from gaussians.fitting.stillness import camera_moves


def gray(frames: np.ndarray) -> np.ndarray:
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def test_camera_motion_is_seen_and_object_motion_is_not():
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (240, 400), np.uint8), (0, 0), 2)
    scene = cv2.normalize(scene, np.empty_like(scene), 0, 255, cv2.NORM_MINMAX)
    lens = np.array([[250, 0, 160], [0, 250, 120], [0, 0, 1.0]])
    panned = np.stack([scene[:, 4 * i : 320 + 4 * i] for i in range(6)])
    assert find_turning(panned, lens).background_shift == pytest.approx(
        20 / 320, rel=0.05
    )
    static = scene[None, :, :320].repeat(6, 0)
    for i in range(6):  # a large thing crosses
        static[i, 80:180, 30 * i : 100 + 30 * i] = scene[100:200, 200:300]
    assert find_turning(static, lens).background_shift < NOTICEABLE_MOTION
    nothing = find_path(np.zeros((4, 240, 320), np.uint8), lens, not_asked)
    assert not camera_moves(nothing.world_to_camera)
    assert nothing.warning == nothing.note == ""


def not_asked():
    raise AssertionError("structure from motion is not needed")


def test_a_camera_that_turns_on_its_place():
    poses = shake()
    frames = film(poses)[0]
    path = find_path(gray(frames), LENS, not_asked)
    assert angle_between(path.world_to_camera, poses) < 0.1
    assert camera_moves(path.world_to_camera)
    assert not travels(path.world_to_camera)
    assert path.warning == ""
    back = steadied(frames, path.world_to_camera[:, :3, :3], LENS)
    inside = back[-1].max(-1) > 0
    error = np.abs(back[-1].astype(int) - frames[0])[inside].mean()
    assert error < 0.4 * np.abs(frames[-1].astype(int) - frames[0])[inside].mean()


@pytest.mark.parametrize("person", [0.0, 0.4])
def test_a_small_shake_is_steadied(person):
    """A third of a degree: two pixels or more of a result's 455."""
    angles = np.radians(0.3) * np.random.default_rng(7).uniform(-1, 1, (FRAMES, 3))
    poses = turning_path(np.stack([cv2.Rodrigues(angle)[0] for angle in angles]))
    frames = film(poses)[0]
    frames = add_person(frames, person) if person else frames
    path = find_path(gray(frames), LENS, not_asked)
    assert "rotations" in path.note
    assert angle_between(path.world_to_camera, poses) < 0.1


def angle_between(found: np.ndarray, true: np.ndarray) -> float:
    """The largest angle between rotations of paths that start alike, degrees."""
    turns = found[:, :3, :3] @ (true @ np.linalg.inv(true[0]))[:, :3, :3].swapaxes(
        -1, -2
    )
    return max(
        float(np.degrees(np.linalg.norm(cv2.Rodrigues(turn)[0]))) for turn in turns
    )


@pytest.mark.extra("pycolmap")
@pytest.mark.parametrize("person", [0.0, 0.4])
def test_a_camera_that_travels(person):
    poses = arc()
    frames, depth = film(poses)
    frames = add_person(frames, person) if person else frames
    path = find_path(gray(frames), LENS, lambda: (frames, LENS))
    assert angle_between(path.world_to_camera, poses) < 0.5
    assert path_error(path.world_to_camera, poses) < 0.05
    assert path.points is not None
    column, row = np.floor(path.points.pixels).astype(int).T
    ratio = path.points.depth / depth[path.points.instants, row, column]
    assert person or np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.03
