"""One camera is written down by hand in every convention, from each convention's own words."""

import itertools

import numpy as np

from input_pipeline.conventions import SAME, convert

# It stands at (1, 2, 3) of a right-handed world with z up and looks along x: its right is -y.
EYE, RIGHT, UP, AHEAD = np.array([[1.0, 2, 3], [0, -1, 0], [0, 0, 1], [1, 0, 0]])


def to_world(x, y, z):
    return np.block([[np.stack([x, y, z, EYE], 1)], [np.array([0, 0, 0, 1.0])]])


BY_HAND = {
    "opencv_c2w": to_world(RIGHT, -UP, AHEAD),
    "opengl": to_world(RIGHT, UP, -AHEAD),
    "llff": to_world(-UP, RIGHT, -AHEAD),
    # world to camera, so rows are the axes
    "opencv": np.array([[0, -1, 0, 2.0], [0, 0, -1, 3], [1, 0, 0, -1], [0, 0, 0, 1]]),
    "opengl_w2c": np.array([[0, -1, 0, 2.0], [0, 0, 1, -3], [-1, 0, 0, 1], [0, 0, 0, 1]]),
    # PyTorch3D: x left, y up, z forward, and X_camera = X_world R + T: axes in columns, T below
    "pytorch3d": np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [-2, -3, -1, 1.0]]),
    # Unreal, left-handed: the eye at y = -2, rows forward, right (there +y), up, location
    "unreal": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, -2, 3, 1.0]]),
}


def test_all_pairs_agree_with_what_is_written_by_hand():
    for source, target in itertools.product(BY_HAND, repeat=2):
        np.testing.assert_array_equal(convert(BY_HAND[source], source, target), BY_HAND[target])


def test_other_names_are_the_same_conventions():
    for name, meant in SAME.items():
        np.testing.assert_array_equal(convert(BY_HAND[meant], name, meant), BY_HAND[meant])
