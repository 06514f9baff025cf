"""Undistorted spots lie where the lens had them; a lens that folds pictures is refused."""

import cv2
import numpy as np
import pytest

from input_pipeline import cameras
from input_pipeline.undistortion import flat_lens, undistort

LENS = np.array([[120.0, 0, 70], [0, 118.0, 44], [0, 0, 1]])


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


def test_coefficients_that_fold_the_picture_are_refused():
    with pytest.raises(ValueError, match="that fold pictures of 128x96 pixels, expected a lens"):
        flat_lens(LENS, np.array([-8.0, 0, 0, 0, 0, 0, 0, 0]), 96, 128)
