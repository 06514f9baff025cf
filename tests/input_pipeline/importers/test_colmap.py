"""Projects written by pycolmap are read as pycolmap reads them; footage is found by its name."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from input_pipeline.importers import colmap
from input_pipeline.importers.colmap import read_model

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
