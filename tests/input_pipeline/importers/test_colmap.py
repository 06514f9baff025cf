"""Projects written by pycolmap are read as pycolmap reads them; footage is found by its name."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from input_pipeline.importers import colmap
from input_pipeline.importers.camera_path import read_path
from input_pipeline.importers.colmap import read_model
from input_pipeline.importers.detect import detect, read_captures

GOLDENS = Path(__file__).parent / "goldens" / "colmap"


@pytest.mark.parametrize("kind", ["bin", "txt"])
def test_every_lens_and_pose_is_what_pycolmap_says(kind):
    truth = json.loads((GOLDENS / "truth.json").read_text())
    cameras = dict(read_model(GOLDENS / kind))
    assert list(cameras) == list(truth["images"])
    for name, lens in cameras.items():
        said = truth["images"][name]
        pose = lens.world_to_camera[:3]
        np.testing.assert_allclose(pose, said["world_to_camera"], atol=1e-12)
        rotation, shift = lens.world_to_camera[:3, :3], lens.world_to_camera[:3, 3]
        bent = np.zeros(8)
        bent[: len(lens.distortion)] = lens.distortion
        point = np.array([truth["point"]])
        turn = cv2.Rodrigues(rotation)[0]
        pixel, _ = cv2.projectPoints(point, turn, shift, lens.intrinsics, bent)
        np.testing.assert_allclose(pixel.ravel(), said["pixel"], atol=1e-9)
        assert lens.size == (24, 32)


def project(folder, kind="bin"):
    shutil.copytree(GOLDENS / kind, folder / "sparse" / "0")
    return folder


def test_photos_are_views_of_one_instant(tmp_path, write_pictures):
    path = project(tmp_path / "scène 影")
    write_pictures([path / "images" / f"cam{i}.png" for i in range(1, 7)])
    (capture,) = colmap.read(path, None)
    assert [len(view.files) for view in capture.views] == [1] * 6
    assert capture.scene_id == "scène 影"
    bent = capture.views[4].distortion[:4]
    np.testing.assert_allclose(bent, [0.05, -0.02, 0.003, -0.002])


def image_lines():
    """Lines of images of the text model, without their points."""
    lines = (GOLDENS / "txt" / "images.txt").read_text().splitlines()
    return [line for line in lines if line.endswith(".png")]


def test_the_largest_model_is_taken_and_pictures_without_a_pose_are_counted(
    tmp_path, write_pictures
):
    path = project(tmp_path / "s", "txt")
    scrap, whole = path / "sparse/0", path / "sparse/1"
    shutil.copytree(scrap, whole)
    (scrap / "images.txt").write_text("\n\n".join(image_lines()[:2]) + "\n")
    write_pictures([path / "images" / f"cam{i}.png" for i in range(1, 9)])
    (capture,) = read_captures(path, "colmap", None)
    truth = dict(read_model(GOLDENS / "bin"))
    assert [view.name for view in capture.views] == list(truth)
    for view in capture.views:
        expected = truth[view.name].world_to_camera
        np.testing.assert_allclose(view.world_to_camera[0], expected, atol=1e-12)
    assert "sparse/1 is taken, the largest of 2 COLMAP models" in capture.note
    assert "2 of 8 pictures have no pose and are left out" in capture.note
    shutil.rmtree(scrap)
    assert detect(path)[0] == "colmap"
    assert len(colmap.read(path, None)[0].views) == 6


@pytest.mark.parametrize(
    ("between", "end"),
    [("\n", "\n"), ("\n\n", ""), ("\n\n", "\n\n\n"), ("\r\n \r\n\n", "")],
)
def test_images_may_list_no_points(tmp_path, between, end):
    path = project(tmp_path / "s", "txt") / "sparse/0"
    (path / "images.txt").write_bytes((between.join(image_lines()) + end).encode())
    with (path / "cameras.txt").open("a") as file:
        file.write("\n")
    cameras = dict(read_model(path))
    truth = dict(read_model(GOLDENS / "bin"))
    assert list(cameras) == list(truth)
    for name, camera in cameras.items():
        expected = truth[name].world_to_camera
        np.testing.assert_allclose(camera.world_to_camera, expected, atol=1e-12)
    # What is cut is no line of points.
    (path / "images.txt").write_text("\n".join(image_lines()).removesuffix(" cam6.png"))
    with pytest.raises(ValueError, match=r"images\.txt: found .*, expected COLMAP"):
        read_model(path)


def film_lines():
    """The lines of images as those of one film, a/0.png to a/5.png, of one lens."""
    poses = [line.rsplit(maxsplit=2)[0] for line in image_lines()]
    return [f"{pose} 1 a/{i}.png" for i, pose in enumerate(poses)]


def test_a_path_is_that_of_the_largest_model_which_must_have_all_frames(tmp_path):
    path = project(tmp_path / "s", "txt")
    scrap, whole = path / "sparse/0", path / "sparse/1"
    shutil.copytree(scrap, whole)
    (scrap / "images.txt").write_text("\n\n".join(film_lines()[2:4]))
    (whole / "images.txt").write_text("\n\n".join(film_lines()))
    truth = read_model(GOLDENS / "bin")
    poses = [camera.world_to_camera for _, camera in truth]
    np.testing.assert_allclose(read_path(path).world_to_camera, poses, atol=1e-12)
    (whole / "images.txt").write_text("\n\n".join(film_lines()[:3]))
    with pytest.raises(ValueError, match=r"sparse/1: found no pose of .*a/3\.png"):
        read_path(path)
    assert len(read_path(scrap).world_to_camera) == 2


def test_poses_without_pictures_are_counted(tmp_path, write_pictures):
    path = project(tmp_path / "s", "txt")
    (path / "sparse/0/images.txt").write_text("\n\n".join(film_lines()))
    write_pictures([path / "images" / "a" / f"{i}.png" for i in range(4)])
    (capture,) = colmap.read(path, 5.0)
    assert capture.views[0].world_to_camera.shape == (4, 4, 4)
    assert capture.note == "camera a: 2 of 6 poses have no picture and are left out"


def test_films_get_the_camera_of_the_image_of_their_name(tmp_path, make_video):
    path = project(tmp_path / "s", "txt")
    for i in range(1, 7):
        make_video(path / "videos" / f"cam{i}.mp4", range(0, 20, 4), size=(24, 32))
    (capture,) = colmap.read(path, None)
    assert [view.world_to_camera.shape for view in capture.views] == [(5, 4, 4)] * 6
    assert capture.fps == pytest.approx(25)


def test_folders_of_pictures_carry_depth_and_masks(tmp_path, write_pictures):
    path = project(tmp_path / "s")
    for i in range(1, 7):
        for kind in ("images", "masks", "depth"):
            write_pictures([path / kind / f"cam{i}" / f"{t}.png" for t in (10, 9, 8)])
    (capture,) = colmap.read(path, 5.0)
    view = capture.views[0]
    assert [file.stem for file in view.files] == ["8", "9", "10"]
    assert len(view.depth) == len(view.masks) == 3
    np.testing.assert_allclose(view.timestamps, [0, 0.2, 0.4])
    assert capture.note == ""
    note = colmap.read(path, None)[0].note
    assert note.startswith("no --fps given: assuming 1 pictures a second")


def test_what_does_not_fit_is_named(tmp_path, write_pictures):
    path = project(tmp_path / "s")
    folders = [path / "images" / f"cam{i}" for i in range(1, 7)]
    for folder in folders:
        write_pictures([folder / "0.png", folder / "1.png"])
    (folders[3] / "1.png").unlink()
    with pytest.raises(ValueError, match=r"cam1 2, .* cam4 1, .* expected as many"):
        colmap.read(path, None)
    whole = (path / "sparse/0/images.bin").read_bytes()
    (path / "sparse/0/images.bin").write_bytes(whole[:-30])
    with pytest.raises(ValueError, match=r"images\.bin: found .*, expected COLMAP"):
        colmap.read(path, None)
