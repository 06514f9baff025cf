"""Fisheye lenses as the usual model, against OpenCV's own functions of both."""

import cv2
import numpy as np
import pytest

from input_pipeline.lenses import median_lens, usual_lens

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


def test_what_the_usual_model_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"fisheye: found coefficients .* expected at most 0.5"):
        usual_lens(np.array([0.2, 0.1, -0.05, 0.01]), LENS / [[2], [2], [1]], 480, 640)


def test_a_lens_that_zooms_or_has_no_focal_length_is_refused():
    lenses = np.tile([800.0, 800.0, 640.0, 360.0], (20, 1))
    lenses[17:, :2] = 1600
    with pytest.raises(
        ValueError, match=r"a\.csv: found focal lengths from 800 to 1600 pixels, exp"
    ):
        median_lens(lenses, "a.csv")
