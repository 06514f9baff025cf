"""Lenses against OpenCV's own functions; those that no model has, or that fold, are refused."""

import cv2
import numpy as np
import pytest

from input_pipeline import cameras
from input_pipeline.lenses import flat_lens, median_lens, undistort, usual_lens

LENS = np.array([[400.0, 0, 330], [0, 410.0, 235], [0, 0, 1]])
PHONE = np.array([-0.03, 0.01, -0.006, 0.001])


@pytest.mark.parametrize("fisheye", [np.zeros(4), np.array([0.05, -0.01, 0.003, -0.001]), PHONE])
def test_rays_meet_the_same_pixels_as_opencv_has_them(fisheye):
    rng = np.random.default_rng(0)
    pixels = rng.uniform([0, 0], [640, 480], (2000, 1, 2))
    slopes = cv2.fisheye.undistortPoints(pixels, LENS, fisheye)
    assert np.degrees(np.arctan(np.linalg.norm(slopes, axis=-1).max())) > 50
    rays = np.concatenate([slopes, np.ones((2000, 1, 1))], -1)
    lens = usual_lens(fisheye, LENS, 480, 640)
    met, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), LENS, lens)
    assert np.abs(met - pixels).max() < 0.1


def test_what_no_lens_is_is_refused():
    with pytest.raises(ValueError, match=r"fisheye: found coefficients .* expected at most 0.5"):
        usual_lens(np.array([0.2, 0.1, -0.05, 0.01]), LENS / [[2], [2], [1]], 480, 640)
    lenses = np.tile([800.0, 800.0, 640.0, 360.0], (20, 1))
    lenses[17:, :2] = 1600
    with pytest.raises(ValueError, match=r"a\.csv: found focal lengths from 800 to 1600 pixels"):
        median_lens(lenses, "a.csv")
    folded = np.array([[120.0, 0, 70], [0, 118.0, 44], [0, 0, 1]])
    with pytest.raises(ValueError, match="that fold pictures of 128x96 pixels, expected a lens"):
        flat_lens(folded, np.array([-8.0, 0, 0, 0, 0, 0, 0, 0]), 96, 128)


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
