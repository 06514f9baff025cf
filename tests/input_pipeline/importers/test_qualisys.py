"""The real capture: cameras agree with an independent table, and the floor with itself."""

import json
import shutil

import cv2
import numpy as np
import pytest

from input_pipeline.cameras import resize_intrinsics
from input_pipeline.footage import first_picture
from input_pipeline.importers import opencv, qualisys
from input_pipeline.importers.detect import detect
from input_pipeline.undistortion import undistort

# The checkerboard calibration of the same camera in Pose2Sim's repository, Calib_scene.toml.
TOML = """
[int_cam01_img]
name = "int_cam01_img"
size = [ 1088.0, 1920.0]
matrix = [ [ 1671.50, 0.0, 564.64], [ 0.0, 1671.39, 933.01], [ 0.0, 0.0, 1.0]]
distortions = [ -0.05310342256182765, 0.1510044676505964, -0.0001198943, 0.00065034]
rotation = [ 1.678784562972848, 1.031972654261743, -0.3910235872501538]
translation = [ 0.2609476905995074, 0.9641586618892432, 2.932963441842366]
fisheye = false

[metadata]
error = 0.0
"""


def checkerboard(file):
    file.write_text(TOML)
    return opencv.named_cameras(file, opencv.load_table(file))["int_cam01_img"]


@pytest.fixture
def real(shared_data):
    return shared_data / "data/pose2sim"


def test_qca_agrees_with_the_table_of_opencv_cameras(real):
    table = json.loads((real / "cameras_opencv.json").read_text())
    read = qualisys.read_qca(real / "Calib_SinglePerson.qca.txt")
    assert list(read) == [camera["name"] for camera in table["cameras"]]
    for said in table["cameras"]:
        found = read[said["name"]]
        np.testing.assert_allclose(found.intrinsics, said["K"], atol=1e-9)
        np.testing.assert_allclose(found.world_to_camera, said["w2c"], atol=1e-9)
        assert found.size == (said["height"], said["width"])
        bent = np.array(said["dist_k1k2p1p2_over64"]) * 64
        np.testing.assert_allclose(found.distortion[:4], bent, atol=1e-12)


def test_qca_and_the_checkerboard_calibration_of_the_same_camera_agree(real, tmp_path):
    board = checkerboard(tmp_path / "Calib.toml")
    found = qualisys.read_qca(real / "Calib_SinglePerson.qca.txt")["cam01"]
    # Two calibrations on two days agree roughly; the coefficients do only as they stand.
    np.testing.assert_allclose(
        found.intrinsics[[0, 1], [0, 1]], board.intrinsics[[0, 1], [0, 1]], rtol=0.02
    )
    np.testing.assert_allclose(
        found.world_to_camera[:3, :3], board.world_to_camera[:3, :3], atol=0.1
    )
    np.testing.assert_allclose(found.world_to_camera[:3, 3], board.world_to_camera[:3, 3], atol=0.2)
    np.testing.assert_allclose(found.distortion[:2], board.distortion[:2], rtol=0.15)


def test_the_floor_seen_from_above_is_the_same_in_neighbouring_views(real):
    """The plane z = 0 holds a treadmill: its edges must lie at the same metres."""
    (capture,) = qualisys.read(real, None)
    assert "resized by 0.9926 and padded" in capture.note  # two videos were
    y, x = np.mgrid[:300, :300] * 0.01 - 1.495  # metres
    edges = []
    for view in capture.views:
        small = resize_intrinsics(view.intrinsics, rows=0.5, columns=0.5)
        picture = cv2.resize(first_picture(view.files[0]), None, fx=0.5, fy=0.5)
        picture, small = undistort(picture, small, view.distortion)
        floor = np.stack([x, y, np.zeros_like(x), np.ones_like(x)], -1)
        seen = (floor @ view.world_to_camera[0].T)[..., :3] @ small.T
        place = (seen[..., :2] / seen[..., 2:] - 0.5).astype(np.float32)
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        sampled = cv2.remap(gray, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        gray = cv2.GaussianBlur(sampled, (0, 0), 2)
        edges.append(np.hypot(cv2.Sobel(gray, -1, 1, 0), cv2.Sobel(gray, -1, 0, 1)))
    for i, j in ((0, 1), (1, 2), (0, 3)):
        place, part = edges[i][60:240, 15:165], edges[j][80:220, 35:145]
        scores = cv2.matchTemplate(place, part, cv2.TM_CCOEFF_NORMED)
        _, best, _, where = cv2.minMaxLoc(scores)
        shift = np.abs(np.array(where) - 20)
        assert best > 0.3, (i, j, best)
        assert shift.max() <= 5, (i, j, where)  # centimetres; some edges stand a little higher


def test_calibration_and_videos_may_have_folders_of_their_own(real, tmp_path):
    (tmp_path / "calibration").mkdir()
    (tmp_path / "videos").mkdir()
    shutil.copy(real / "Calib_SinglePerson.qca.txt", tmp_path / "calibration/Calib.qca.txt")
    for i in range(1, 5):
        shutil.copy(real / f"cam0{i}.mp4", tmp_path / f"videos/cam0{i}.mp4")
    assert detect(tmp_path)[0] == "qualisys"
    (first,), (second,) = qualisys.read(tmp_path, None), qualisys.read(real, None)
    for a, b in zip(first.views, second.views, strict=True):
        np.testing.assert_array_equal(a.intrinsics, b.intrinsics)
    assert (first.unit, round(first.fps)) == (1.0, 60)


def test_pose2sims_toml_has_pixel_centres_at_whole_numbers(tmp_path):
    found = checkerboard(tmp_path / "Calib.toml")
    np.testing.assert_allclose(found.intrinsics[:2, 2], [565.14, 933.51])
    rotation, _ = cv2.Rodrigues(found.world_to_camera[:3, :3])
    np.testing.assert_allclose(rotation.ravel(), [1.67878456, 1.03197265, -0.39102359], atol=1e-7)
    assert found.size == (1920, 1088)
    assert detect(tmp_path)[0] == "opencv"


def test_broken_calibrations_are_named(real, tmp_path):
    text = (real / "Calib_SinglePerson.qca.txt").read_text()
    for old, new, message in (
        ("focalLengthU=", "focal=", "expected a field focalLengthU"),
        ("<calibration", "<broken", "no readable XML"),
    ):
        assert old in text
        (tmp_path / "a.qca.txt").write_text(text.replace(old, new, 1))
        with pytest.raises(ValueError, match=message):
            qualisys.read_qca(tmp_path / "a.qca.txt")
