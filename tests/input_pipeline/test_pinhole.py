"""Cameras, conventions and lenses against scipy, OpenCV and what is written by hand."""

import itertools

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from input_pipeline import pinhole
from input_pipeline.conventions import SAME, convert
from input_pipeline.lenses import flat_lens, median_lens, undistort, usual_lens


def random_poses(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    pose = np.zeros((*shape, 4, 4))
    turns = Rotation.random(int(np.prod(shape)), rng=rng).as_matrix()
    pose[..., :3, :3] = turns.reshape(*shape, 3, 3)
    pose[..., :3, 3] = rng.normal(size=(*shape, 3))
    pose[..., 3, 3] = 1
    return pose


def pixels(points: np.ndarray, lens: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """OpenCV's own projection; with pixel centres at +0.5 in `lens`, so are its pixels."""
    rotation, _ = cv2.Rodrigues(pose[:3, :3])
    return cv2.projectPoints(points, rotation, pose[:3, 3], lens, None)[0][:, 0]


def test_look_at_puts_the_target_in_the_middle_and_up_upwards():
    rng = np.random.default_rng(1)
    center, target = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    intrinsics = pinhole.intrinsics_from_fov(60.0, 40, 60)
    poses = pinhole.look_at(center, target)
    for where, what, pose in zip(center, target, poses, strict=True):
        # The second a little higher: y is down.
        points = np.stack([what, what + [0, -1e-3, 0]])
        middle, higher = pixels(points, intrinsics, pose)
        np.testing.assert_allclose(middle, [30, 20], atol=1e-9)
        assert higher[1] < middle[1]
        assert abs(higher[0] - middle[0]) < 1e-9
        np.testing.assert_allclose(pinhole.centers(pose), where, atol=1e-12)
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)


def test_orbit_turns_about_the_pivot_like_scipy():
    zero = np.array(0.0)
    np.testing.assert_allclose(pinhole.orbit(zero, zero), np.eye(4), atol=1e-12)
    pivot = np.array([0, 0, 1.0])
    azimuth, elevation = np.array([35.0, -50.0, 0.0]), np.array([20.0, 0.0, -10.0])
    # The source's offset (0, 0, -1) tilted about x, then turned about the y axis that points down.
    turn = Rotation.from_euler("YX", np.stack([-azimuth, -elevation], -1), degrees=True)
    expected = pivot + turn.apply([0, 0, -1.0])
    found = pinhole.orbit(azimuth, elevation)
    np.testing.assert_allclose(pinhole.centers(found), expected, atol=1e-12)
    pivots = found @ [*pivot, 1.0]
    np.testing.assert_allclose(pivots, [[0, 0, 1.0, 1.0]] * 3, atol=1e-12)
    assert (pinhole.centers(found)[:2, 0] * azimuth[:2] > 0).all()  # to the right
    assert pinhole.centers(found)[0, 1] < 0  # and up


def test_unprojected_pixels_return_to_their_centres_at_their_depth():
    pose, intrinsics = random_poses(1)[0], pinhole.intrinsics_from_fov(70.0, 4, 6)
    depth = np.random.default_rng(3).uniform(1, 5, (4, 6))
    points = pinhole.unproject(depth, intrinsics, pose)
    y, x = np.mgrid[:4, :6] + 0.5
    found = pixels(points.reshape(-1, 3), intrinsics, pose).reshape(4, 6, 2)
    np.testing.assert_allclose(found, np.stack([x, y], -1), atol=1e-9)
    seen = points @ pose[:3, :3].T + pose[:3, 3]
    np.testing.assert_allclose(seen[..., 2], depth)


def good_cameras() -> tuple[np.ndarray, np.ndarray]:
    return np.stack([pinhole.intrinsics_from_fov(60.0, 32, 32)] * 2), random_poses(2, 3)


@pytest.mark.parametrize(
    ("field", "place", "value", "message"),
    [
        ("poses", (1, 2, 0, 3), np.nan, "world_to_camera: found 1 NaN"),
        ("poses", (0, 0, slice(3), slice(3)), np.diag([1, -1, 1]), "mirrored"),
        ("intrinsics", (1, 0, 1), 0.5, "intrinsics: found skew 0.5, expected none"),
    ],
)
def test_bad_cameras_are_named(field, place, value, message):
    intrinsics, poses = good_cameras()
    pinhole.check_cameras(intrinsics, poses)
    {"poses": poses, "intrinsics": intrinsics}[field][place] = value
    with pytest.raises(ValueError, match=message):
        pinhole.check_cameras(intrinsics, poses)


LENS = np.array([[400.0, 0, 330], [0, 410.0, 235], [0, 0, 1]])
BENT = np.array([0.05, -0.01, 0.003, -0.001])
PHONE = np.array([-0.03, 0.01, -0.006, 0.001])


@pytest.mark.parametrize("fisheye", [np.zeros(4), BENT, PHONE])
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
    with pytest.raises(ValueError, match=r"fisheye: found coefficients .* at most 0.5"):
        usual_lens(np.array([0.2, 0.1, -0.05, 0.01]), LENS / [[2], [2], [1]], 480, 640)
    lenses = np.tile([800.0, 800.0, 640.0, 360.0], (20, 1))
    lenses[17:, :2] = 1600
    with pytest.raises(ValueError, match=r"a\.csv: found focal lengths from 800 to"):
        median_lens(lenses, "a.csv")
    folded = np.array([[120.0, 0, 70], [0, 118.0, 44], [0, 0, 1]])
    with pytest.raises(ValueError, match="that fold pictures of 128x96 pixels"):
        flat_lens(folded, np.array([-8.0, 0, 0, 0, 0, 0, 0, 0]), 96, 128)


def test_a_spot_moves_from_where_the_lens_put_it():
    intrinsics = pinhole.intrinsics_from_fov(60.0, 120, 160)
    distortion = np.array([-0.3, 0.1, 0.004, -0.003, 0.02, 0, 0, 0])
    point = np.array([[0.38, -0.27, 1.0]])
    zero = np.zeros(3)
    seen = cv2.projectPoints(point, zero, zero, intrinsics, distortion)[0].ravel()
    y, x = np.mgrid[:120, :160] + 0.5
    spot = np.exp(-((x - seen[0]) ** 2 + (y - seen[1]) ** 2) / 8).astype(np.float32)
    picture, flat = undistort(np.stack([spot] * 3, -1), intrinsics, distortion)
    ideal = (flat @ point[0])[:2]
    assert np.linalg.norm(seen - ideal) > 3
    found = np.array([(picture[..., 0] * x).sum(), (picture[..., 0] * y).sum()])
    np.testing.assert_allclose(found / picture[..., 0].sum(), ideal, atol=0.1)


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
    "opengl_w2c": np.array(
        [[0, -1, 0, 2.0], [0, 0, 1, -3], [-1, 0, 0, 1], [0, 0, 0, 1]]
    ),
    # PyTorch3D: x left, y up, z forward, and X_camera = X_world R + T: axes in columns, T below
    "pytorch3d": np.array(
        [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [-2, -3, -1, 1.0]]
    ),
    # Unreal, left-handed: the eye at y = -2, rows forward, right (there +y), up, location
    "unreal": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, -2, 3, 1.0]]),
}


def test_all_pairs_agree_with_what_is_written_by_hand():
    for source, target in itertools.product(BY_HAND, repeat=2):
        converted = convert(BY_HAND[source], source, target)
        np.testing.assert_array_equal(converted, BY_HAND[target])


def test_other_names_are_the_same_conventions():
    for name, meant in SAME.items():
        pose = BY_HAND[meant]
        np.testing.assert_array_equal(convert(pose, name, meant), pose)
