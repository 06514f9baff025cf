"""Errors of placed cameras against known ones; COLMAP's own places are in test_obvious_cases."""

import sys

import cv2
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.without_truth.registration import pose_errors, register
from full4d_jax.session.errors import InputError
from input_pipeline.cameras import orbit


def turned(degrees: float, axis: int = 1) -> np.ndarray:
    turn = np.eye(4)
    turn[:3, :3] = cv2.Rodrigues(np.radians(degrees) * np.eye(3)[axis])[0]
    return turn


@pytest.mark.parametrize("line", [False, True])
def test_another_world_is_no_error(line):
    """Turned, moved and scaled as a whole, also where all centres lie on one line."""
    poses = np.stack([orbit(float(a), 10.0, 3.0, (0.0, 0.0, 0.0)) for a in (-30, 0, 20, 50)])
    if line:
        poses = np.stack([np.eye(4)] * 4)
        poses[:, 0, 3] = [0, -1, -2, -4]
    world = turned(70, 2) @ turned(40, 0)
    world[:3, 3] = 5, -2, 1
    found = poses @ world
    found[:, :3, 3] *= 0.3
    rotation, position = pose_errors(found, poses)
    assert rotation < 1e-4
    assert position < 1e-6


def test_a_known_error_is_found():
    """Every camera turns by 5° on its place, every other one the other way: the median is 5°."""
    poses = np.stack([orbit(float(a), 0.0, 3.0, (0.0, 0.0, 0.0)) for a in range(-60, 61, 8)])
    signs = np.where(np.arange(len(poses)) % 2, 1, -1)
    found = np.stack(
        [turned(5.0 * sign, 0) @ pose for sign, pose in zip(signs, poses, strict=True)]
    )
    rotation, position = pose_errors(found, poses)
    assert rotation == pytest.approx(5, abs=0.1)
    assert position < 0.01
    swapped = pose_errors(poses[np.arange(len(poses)) ^ 1], poses)
    assert swapped[0] == pytest.approx(8, abs=0.5)
    assert swapped[1] > 0.1


def test_without_colmap_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    cameras = Cameras(np.stack([np.eye(3)] * 2), np.tile(np.eye(4), (2, 1, 1, 1)), 8, 8)
    with pytest.raises(InputError, match=r"pip install 'full4d-jax\[colmap\]'"):
        register(np.zeros((2, 1, 8, 8, 3), np.uint8), cameras, 0)
