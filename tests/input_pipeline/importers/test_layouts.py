"""One rig written in each layout by its published description comes back as it was."""

import json
import shutil

import numpy as np
import pytest

from input_pipeline.importers import cameras_json, dycheck, instants, llff, multicam, panoptic
from input_pipeline.importers.detect import LAYOUTS, detect, find_scenes

ALL = ("llff", "multicam", "cameras_json", "fdanyone", "panoptic", "dycheck", "instants")


@pytest.mark.parametrize("layout", ALL)
def test_the_rig_comes_back(layout, tmp_path, write, rig, check):
    path = write(layout, tmp_path / "f24_aperture5" / "ünï 場景")
    found, why, _ = detect(path)
    assert found == layout, why
    (capture,) = LAYOUTS[layout].read(path, None)
    lens = rig[1]
    if layout == "multicam":  # square pictures of 32 pixels, focal length 24 of a 23.76 mm sensor
        focal = 24 / 23.76 * 32
        lens = np.array([[focal, 0, 16], [0, focal, 16], [0, 0, 1]])
    check(capture.views, rig[2], lens)
    counts = {"panoptic": 2, "dycheck": 3, "instants": 2}
    assert [len(v.timestamps) for v in capture.views] == [counts.get(layout, 5)] * 3


def test_panoptic_masks_and_counts(tmp_path, write):
    path = write("panoptic", tmp_path / "s")
    (capture,) = panoptic.read(path, 10.0)
    assert capture.views[1].masks[0] == path / "seg/1/000000.png"
    assert capture.fps == pytest.approx(10)
    table = json.loads((path / "train_meta.json").read_text())
    (path / "train_meta.json").write_text(json.dumps(table | {"fn": table["fn"][:1]}))
    with pytest.raises(ValueError, match="found k 2, w2c 2, fn 1, cam_id 2 instants"):
        panoptic.read(path, None)


def test_dycheck_times_depth_and_distortion(tmp_path, write):
    path = write("dycheck", tmp_path / "s")
    (capture,) = dycheck.read(path, None)
    first = capture.views[0]
    assert [file.stem for file in first.files] == ["0_00001", "0_00002", "0_00003"]
    np.testing.assert_allclose(first.timestamps, np.array([1, 2, 3]) / 15)
    np.testing.assert_allclose(first.distortion[:5], [0.1, 0.2, 0.01, 0.02, 0.3])
    assert [len(view.depth) for view in capture.views] == [3, 0, 0]


def test_multicam_needs_a_focal_length_and_whole_matrices(tmp_path, write):
    path = write("multicam", tmp_path / "f18_aperture10" / "scene1")
    (capture,) = multicam.read(path, None)
    assert (capture.unit, capture.scene_id) == (0.01, "f18_aperture10/scene1")
    file = path / "cameras/camera_extrinsics.json"
    table = json.loads(file.read_text())
    table["frame2"]["cam2"] = "[1 0 0 0]"
    file.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"frame2, cam2: found shape .* expected finite numbers"):
        multicam.read(path, None)


def test_our_json_takes_offsets_words_and_says_what_it_ignored(tmp_path, write):
    path = write("cameras_json", tmp_path / "s")
    (capture,) = cameras_json.read(path, None)
    assert (capture.unit, capture.license, capture.caption) == (0.5, "CC0-1.0", "a ball")
    assert capture.views[0].timestamps[0] == 0.25
    table = json.loads((path / "cameras.json").read_text())
    table["cameras"][0] |= {"zoom": 3}
    (path / "cameras.json").write_text(json.dumps(table))
    assert "not read: zoom" in cameras_json.read(path, None)[0].note


def test_a_folder_of_scenes(tmp_path, write):
    write("llff", tmp_path / "b")
    write("cameras_json", tmp_path / "a")
    (tmp_path / "notes").mkdir()
    scenes, others = find_scenes(tmp_path)
    assert [(f.name, n) for f, n, *_ in scenes] == [("a", "cameras_json"), ("b", "llff")]
    assert others == ["notes"]
    # MultiCamVideo's own tree: a folder for each focal length, a folder for each scene.
    for focal in (18, 24):
        write("multicam", tmp_path / f"train/f{focal}_aperture5/scene1")
    scenes, _ = find_scenes(tmp_path / "train")
    assert [f.parent.name for f, *_ in scenes] == ["f18_aperture5", "f24_aperture5"]


def test_llff_photos_beside_the_film_they_were_taken_from(tmp_path, write, write_pictures):
    """One film at the top and 24 x 32 photos; then a quarter of that in images_4 alone."""
    path = write("llff", tmp_path / "s")
    for film in path.glob("*.mp4"):
        film.rename(path / "walk.mp4")
    names = ("IMG_1.JPG", "IMG_10.JPG", "IMG_2.JPG")
    write_pictures([path / folder / name for folder in ("images", "masks") for name in names])
    (capture,) = llff.read(path, None)
    assert [view.name for view in capture.views] == ["IMG_1", "IMG_2", "IMG_10"]
    for view in capture.views:
        assert view.files == (path / f"images/{view.name}.JPG",)
        assert view.masks == (path / f"masks/{view.name}.JPG",)
    shutil.rmtree(path / "images")
    write_pictures([path / "images_4" / name for name in names], size=(6, 8))
    (capture,) = llff.read(path, None)
    np.testing.assert_allclose(capture.views[0].intrinsics, [[10, 0, 4], [0, 10, 3], [0, 0, 1]])


def test_llff_films_that_were_taken_apart_into_pictures(
    tmp_path, write, write_pictures, rig, check
):
    """DyNeRF without its videos: cam10/images/0000.png."""
    path = write("llff", tmp_path / "s")
    for film in path.glob("*.mp4"):
        write_pictures([path / film.stem / f"images/{t:04}.png" for t in range(3)])
        film.unlink()
    (capture,) = llff.read(path, 30.0)
    check(capture.views, rig[2], rig[1])
    assert [view.name for view in capture.views] == rig[0]
    assert [file.name for file in capture.views[2].files] == ["0000.png", "0001.png", "0002.png"]


def test_instants_whose_project_has_points_alone(tmp_path, write, rig, check):
    """Spacetime Gaussians reads cameras of colmap_0 and points of all, so others may lack them."""
    path = write("instants", tmp_path / "s")
    for name in ("cameras.txt", "images.txt"):
        (path / "colmap_1/sparse/0" / name).unlink()
    (path / "colmap_1/sparse/0/points3D.bin").write_bytes(bytes(8))
    (capture,) = instants.read(path, None)
    check(capture.views, rig[2], rig[1])
    assert capture.views[0].files[1] == path / "colmap_1/images/cam1.png"
    assert "1 instants have no cameras of their own" in capture.note
