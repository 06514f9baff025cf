"""One camera is written down by hand in every convention, from each convention's own words."""

import itertools

import numpy as np

from input_pipeline.conventions import CONVENTIONS, SAME, convert

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


def test_every_convention_is_written_down():
    assert set(BY_HAND) == set(CONVENTIONS)


def test_all_pairs_agree_with_what_is_written_by_hand():
    for source, target in itertools.product(BY_HAND, repeat=2):
        np.testing.assert_array_equal(convert(BY_HAND[source], source, target), BY_HAND[target])


def test_round_trips_are_exact():
    start = np.tile(np.eye(4), (5, 3, 1, 1))
    rng = np.random.default_rng(0)
    start[..., :3, :3] = np.linalg.qr(rng.normal(size=(5, 3, 3, 3)))[0]
    start[..., :3, :3] *= np.linalg.det(start[..., :3, :3])[..., None, None]
    start[..., :3, 3] = rng.normal(size=(5, 3, 3))
    for source, target in itertools.product(BY_HAND, repeat=2):
        poses = convert(start, "opencv", source)
        back = convert(convert(poses, source, target), target, source)
        if CONVENTIONS[source].to_world == CONVENTIONS[target].to_world:
            np.testing.assert_array_equal(back, poses)  # to the bit: numbers only move
        else:
            np.testing.assert_allclose(back, poses, rtol=0, atol=4e-15)


def test_other_names_are_the_same_conventions():
    for name, meant in SAME.items():
        np.testing.assert_array_equal(convert(BY_HAND[meant], name, meant), BY_HAND[meant])
