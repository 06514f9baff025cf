"""One rig written in each layout by its published description comes back as it was."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from full4d_jax.cli import main
from input_pipeline.capture_clips import CaptureClips
from input_pipeline.importers import (
    cameras_json,
    dycheck,
    instants,
    llff,
    multicam,
    panoptic,
    qualisys,
    recammaster,
)
from input_pipeline.importers.detect import LAYOUTS, detect, find_scenes, read_captures
from input_pipeline.pinhole import invert

VIDEO_LAYOUTS = ("llff", "multicam", "cameras_json", "fdanyone")


@pytest.mark.parametrize("layout", [*VIDEO_LAYOUTS, "panoptic", "dycheck", "instants"])
def test_the_rig_comes_back(layout, tmp_path, write, rig, check):
    path = write(layout, tmp_path / "f24_aperture5" / "ünï 場景")
    found, why, _ = detect(path)
    assert found == layout, why
    (capture,) = LAYOUTS[layout].read(path, None)
    lens = rig[1]
    # Square pictures of 32 pixels, focal length 24 of a 23.76 mm sensor.
    if layout == "multicam":
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


@pytest.mark.parametrize(
    ("layout", "film", "note"),
    [
        ("fdanyone", "videos/dense/07.mp4", "1 of 4 films have no pose"),
        ("dycheck", "rgb/1x/9_00001.png", "1 of 10 pictures have no pose"),
        ("panoptic", "ims/0/000009.jpg", "1 of 7 pictures have no pose"),
        ("panoptic", "ims/7/000000.jpg", "1 of 4 folders in ims have no pose"),
        ("llff", "images/0.jpg", ""),
    ],
)
def test_files_that_are_not_used_are_counted(
    tmp_path, write, make_video, write_pictures, layout, film, note
):
    path = write(layout, tmp_path / "s")
    before = read_captures(path, layout, 30.0)[0].note
    assert "left out" not in before
    if film.endswith(".mp4"):
        make_video(path / film, [0, 4], size=(24, 32))
    else:
        write_pictures([path / film])
    after = read_captures(path, layout, 30.0)[0].note
    assert note in after
    assert ("left out" in after) == bool(note)


def test_depth_of_some_frames_alone_is_said_to_be_left_out(tmp_path, write):
    path = write("dycheck", tmp_path / "s")
    (path / "depth/1x/0_00002.npy").unlink()
    (capture,) = read_captures(path, "dycheck", None)
    assert "camera0: depth of 2 of 3 frames is left out" in capture.note


def test_maps_beside_photos_need_no_pose(tmp_path, rig, write_pictures):
    """NeRF-synthetic has depth and normals of its test pictures beside them."""
    names = ("r_0", "r_0_depth_0001", "r_0_normal_0001", "r_1", "r_1_depth_0001")
    write_pictures([tmp_path / f"test/{name}.png" for name in names])
    pose = invert(rig[2][0]) @ np.diag([1.0, -1, -1, 1])
    frame = {"file_path": "./test/r_0", "transform_matrix": pose.tolist()}
    table = {"camera_angle_x": 0.8, "frames": [frame]}
    (tmp_path / "transforms_train.json").write_text(json.dumps(table))
    (capture,) = read_captures(tmp_path, "dnerf", None)
    assert "2 of 3 pictures have no pose" in capture.note


def test_multicam_needs_a_focal_length_and_whole_matrices(tmp_path, write):
    path = write("multicam", tmp_path / "f18_aperture10" / "scene1")
    (capture,) = multicam.read(path, None)
    assert (capture.unit, capture.scene_id) == (0.01, "f18_aperture10/scene1")
    file = path / "cameras/camera_extrinsics.json"
    table = json.loads(file.read_text())
    table["frame2"]["cam2"] = "[1 0 0 0]"
    file.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"frame2, cam2: found shape .* expected"):
        multicam.read(path, None)


def test_our_json_takes_offsets_words_and_says_what_it_ignored(tmp_path, write):
    path = write("cameras_json", tmp_path / "s")
    (capture,) = cameras_json.read(path, None)
    assert (capture.unit, capture.license) == (0.5, "CC0-1.0")
    assert capture.caption == "a ball"
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
    assert [folder.name for folder, *_ in scenes] == ["a", "b"]
    assert [layout for _, layout, *_ in scenes] == ["cameras_json", "llff"]
    assert others == ["notes"]
    # MultiCamVideo's own tree: a folder for each focal length, a folder for each scene.
    for focal in (18, 24):
        write("multicam", tmp_path / f"train/f{focal}_aperture5/scene1")
    scenes, _ = find_scenes(tmp_path / "train")
    assert [f.parent.name for f, *_ in scenes] == ["f18_aperture5", "f24_aperture5"]


def test_llff_photos_beside_the_film_that_they_are_of(tmp_path, write, write_pictures):
    """One video at the top and 24 x 32 photos; then a quarter of that in images_4 alone."""
    path = write("llff", tmp_path / "s")
    for video in path.glob("*.mp4"):
        video.rename(path / "walk.mp4")
    names = ("IMG_1.JPG", "IMG_10.JPG", "IMG_2.JPG")
    folders = path / "images", path / "masks"
    write_pictures([folder / name for folder in folders for name in names])
    (capture,) = llff.read(path, None)
    assert [view.name for view in capture.views] == ["IMG_1", "IMG_2", "IMG_10"]
    for view in capture.views:
        assert view.files == (path / f"images/{view.name}.JPG",)
        assert view.masks == (path / f"masks/{view.name}.JPG",)
    shutil.rmtree(path / "images")
    write_pictures([path / "images_4" / name for name in names], size=(6, 8))
    (capture,) = llff.read(path, None)
    lens = capture.views[0].intrinsics
    np.testing.assert_allclose(lens, [[10, 0, 4], [0, 10, 3], [0, 0, 1]])


def test_llff_films_taken_apart(tmp_path, write, write_pictures, rig, check):
    """DyNeRF without its videos: cam10/images/0000.png."""
    path = write("llff", tmp_path / "s")
    for video in path.glob("*.mp4"):
        write_pictures([path / video.stem / f"images/{t:04}.png" for t in range(3)])
        video.unlink()
    (capture,) = llff.read(path, 30.0)
    check(capture.views, rig[2], rig[1])
    assert [view.name for view in capture.views] == rig[0]
    assert [file.stem for file in capture.views[2].files] == ["0000", "0001", "0002"]


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


def test_instants_are_paired_by_the_table(tmp_path, write):
    path = write("opencv", tmp_path / "s")
    times = {"cam1": [7.0, 7.1, 7.2, 7.3, 7.4], "cam2": [7.12, 7.22, 7.31, 7.42, 7.5]}
    times["cam10"] = [7.2, 7.3, 7.4, 7.5, 7.6]
    (path / "sync.json").write_text(json.dumps(times))
    (capture,) = read_captures(path, "opencv", None)
    for view in capture.views:
        np.testing.assert_array_equal(view.timestamps, times[view.name])
    clip = CaptureClips([capture])[0]
    # cam1's last three frames, beside the nearest ones of the others.
    since = clip.timestamps - clip.timestamps[0, 0]
    expected = [[0, 0.1, 0.2], [0.02, 0.11, 0.22], [0, 0.1, 0.2]]
    np.testing.assert_allclose(since, expected, atol=1e-6)


def test_qca_agrees_with_the_table_of_opencv_cameras(shared_data):
    real = shared_data / "data/pose2sim"
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


def test_recammaster_starts_where_its_source_does(tmp_path, write, make_video):
    path = tmp_path / "f24_aperture5" / "results"
    other = write("multicam", tmp_path / "f24_aperture5" / "scene")
    table = json.loads((other / "cameras/camera_extrinsics.json").read_text())
    for t in range(5):  # cam02 goes 10 cm forward along Unreal's x each frame
        table[f"frame{t}"] = {
            "cam01": "[1 0 0 0] [0 1 0 0] [0 0 1 0] [50 60 70 1]",
            "cam02": f"[1 0 0 0] [0 1 0 0] [0 0 1 0] [{50 + 10 * t} 60 70 1]",
        }
    for number in (1, 2):
        video = path / f"cam_type{number}/video0.mp4"
        make_video(video, range(0, 20, 4), size=(32, 32))
    with pytest.raises(ValueError, match="found videos of ReCamMaster without cameras"):
        recammaster.read(path, None)
    (path / "cameras").mkdir()
    (path / "cameras/camera_extrinsics.json").write_text(json.dumps(table))
    assert detect(path)[0] == "recammaster"
    (capture,) = recammaster.read(path, None)
    assert capture.generated
    rest, forward = capture.views
    still = np.tile(np.eye(4), (5, 1, 1))
    np.testing.assert_allclose(rest.world_to_camera, still, atol=1e-12)
    places = invert(forward.world_to_camera)[:, :3, 3]
    ahead = np.arange(5)[:, None] * [[0, 0, 10.0]]
    np.testing.assert_allclose(places, ahead, atol=1e-12)
    assert not capture.note
    shutil.move(path / "cam_type1", tmp_path)
    (capture,) = recammaster.read(path, None)
    assert capture.note == "1 of 2 cameras have no video and are left out"
    shutil.move(path / "cam_type2", path / "cam_type7")
    with pytest.raises(ValueError, match="expected a field cam07"):
        recammaster.read(path, None)


def test_films_without_cameras_are_refused_with_what_to_add(tmp_path, make_video):
    for name in ("gen", "render", "mask", "input", "viz"):
        make_video(tmp_path / f"{name}.mp4", range(0, 20, 4), size=(24, 32))
    layout, _, _ = detect(tmp_path)
    assert layout == "uncalibrated"
    with pytest.raises(ValueError, match=r"TrajectoryCrafter.*, expected .*\.json"):
        read_captures(tmp_path, layout, None)


def capture(folder, picture: str) -> None:
    """Write a capture of one picture, wherever it lies."""
    folder.mkdir(exist_ok=True)
    pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    frames = [{"file_path": picture, "transform_matrix": pose}]
    table = {"w": 24, "h": 16, "fl_x": 20, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(table))


@pytest.mark.parametrize("way", ["above", "absolute", "link"])
def test_a_private_picture_is_not_imported(tmp_path, capsys, way):
    private = tmp_path / "private.jpg"
    Image.new("RGB", (24, 16)).save(private)
    names = {"above": "../private.jpg", "absolute": str(private), "link": "link.jpg"}
    capture(tmp_path / "theirs", names[way])
    (tmp_path / "theirs" / "link.jpg").symlink_to(private)
    words = ["data", "import", str(tmp_path / "theirs"), "--out", str(tmp_path / "set")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"found {private}, expected files in that folder" in said
    assert not (tmp_path / "set").exists()
    assert main([*words, "--follow-links"]) == 0
    assert (tmp_path / "set" / "index.json").is_file()


def test_instants_take_the_largest_model_and_count_pictures_without_a_pose(
    tmp_path, write, rig, check, write_pictures
):
    path = write("instants", tmp_path / "s")
    for t in range(2):
        scrap = path / f"colmap_{t}/sparse/0"
        shutil.copytree(scrap, scrap.with_name("1"))
        lines = (scrap / "images.txt").read_text().splitlines()
        (scrap / "images.txt").write_text(lines[1])
        write_pictures([path / f"colmap_{t}/images/cam11.png"])
    (capture,) = read_captures(path, "instants", 10.0)
    check(capture.views, rig[2], rig[1])
    assert "2 of 8 pictures have no pose and are left out" in capture.note
