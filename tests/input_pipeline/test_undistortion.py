"""Undistorted pictures agree with OpenCV's, and hold no pixel that the lens did not see."""

import cv2
import numpy as np
import pytest

from input_pipeline import cameras, transforms
from input_pipeline.capture import make_capture, make_view
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.undistortion import flat_lens, undistort

LENS = np.array([[120.0, 0, 70], [0, 118.0, 44], [0, 0, 1]])
PINCUSHION = [0.3, 0.05, 0.01, -0.008, 0, 0, 0, 0]
HALF = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def test_a_spot_moves_from_where_the_lens_put_it():
    intrinsics = cameras.intrinsics_from_fov(60.0, 120, 160)
    distortion = np.array([-0.3, 0.1, 0.004, -0.003, 0.02, 0, 0, 0])
    point = np.array([[0.38, -0.27, 1.0]])
    seen = cv2.projectPoints(point, np.zeros(3), np.zeros(3), intrinsics, distortion)[0].ravel()
    y, x = np.mgrid[:120, :160] + 0.5
    spot = np.exp(-((x - seen[0]) ** 2 + (y - seen[1]) ** 2) / 8).astype(np.float32)
    picture, flat = undistort(np.stack([spot] * 3, -1), intrinsics, distortion)
    ideal = (flat @ point[0])[:2]
    assert np.linalg.norm(seen - ideal) > 3
    found = np.array([(picture[..., 0] * x).sum(), (picture[..., 0] * y).sum()])
    np.testing.assert_allclose(found / picture[..., 0].sum(), ideal, atol=0.1)


def test_the_view_is_narrowed_no_more_than_it_must():
    flat = flat_lens(LENS, np.array(PINCUSHION), 96, 128)
    assert flat[0, 0] / LENS[0, 0] == pytest.approx(flat[1, 1] / LENS[1, 1])
    there = np.ones((96, 128), np.float32)
    outside = []
    for lens in (flat, LENS + (flat - LENS) * 0.9):
        maps = cv2.initUndistortRectifyMap(
            LENS - HALF, np.array(PINCUSHION), None, lens - HALF, (128, 96), cv2.CV_32FC1
        )
        outside.append((cv2.remap(there, *maps, cv2.INTER_NEAREST) == 0).sum())
    assert outside[0] == 0
    assert outside[1] > 0


def test_coefficients_that_fold_the_picture_are_refused():
    with pytest.raises(ValueError, match="that fold pictures of 128x96 pixels, expected a lens"):
        flat_lens(LENS, np.array([-8.0, 0, 0, 0, 0, 0, 0, 0]), 96, 128)


def test_black_borders_are_neither_stored_nor_counted(tmp_path):
    """A white wall before a lens whose undistorted picture would have black borders."""
    cv2.imwrite(str(tmp_path / "a.png"), np.full((96, 128), 255, np.uint8))
    np.save(tmp_path / "d.npy", np.full((96, 128), 2.0, np.float32))
    borders = cv2.undistort(np.full((96, 128), 255, np.uint8), LENS - HALF, np.array(PINCUSHION))
    assert (borders < 128).mean() > 0.05
    view = make_view(
        *("a", [tmp_path / "a.png"], LENS, np.eye(4)),
        size=(96, 128),
        distortion=PINCUSHION,
        depth=[tmp_path / "d.npy"],
    )
    assert view.note.startswith("views are narrowed by ")
    (example,) = CaptureClips([make_capture("s", [view])])
    clip = transforms.decode(example, height=96, width=128)
    assert clip.frames.min() > 250
    assert (clip.depth == 2).all()
