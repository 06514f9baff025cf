"""One rig written in each layout by its published description comes back as it was."""

import json
import shutil

import numpy as np
import pytest

from input_pipeline.cameras import invert
from input_pipeline.importers import (
    cameras_json,
    dycheck,
    instants,
    llff,
    multicam,
    panoptic,
)
from input_pipeline.importers.detect import LAYOUTS, detect, find_scenes, read_captures


def write_llff(path, rig, write_film):
    """Rows: 3x5 of [down right backward centre | height width focal], near, far."""
    rows = []
    for pose in rig[2]:
        right, down, forward = pose[:3, :3]
        center = invert(pose)[:3, 3]
        matrix = np.stack([down, right, -forward, center, [24, 32, 40]], 1)
        rows.append([*matrix.ravel(), 0.1, 10])
    path.mkdir(parents=True, exist_ok=True)
    np.save(path / "poses_bounds.npy", np.array(rows))
    for name in rig[0]:
        write_film(path / f"{name}.mp4", range(0, 20, 4), size=(24, 32))


def write_panoptic(path, rig, write_pictures):
    names, lens, poses = rig
    fn = [[f"{i}/{t:06}.jpg" for i in range(3)] for t in range(2)]
    table = {
        "w": 32,
        "h": 24,
        "k": [[lens.tolist()] * 3] * 2,
        "w2c": [poses.tolist()] * 2,
        "fn": fn,
        "cam_id": [[0, 1, 2]] * 2,
    }
    write_pictures([path / "ims" / name for row in fn for name in row])
    write_pictures([path / "seg" / name.replace(".jpg", ".png") for row in fn for name in row])
    (path / "train_meta.json").write_text(json.dumps(table))


def write_dycheck(path, rig, write_pictures):
    _, lens, poses = rig
    (path / "camera").mkdir(parents=True)
    (path / "depth/1x").mkdir(parents=True)
    ids = {}
    for camera, pose in enumerate(poses):
        for time in (3, 1, 2):
            item = f"{camera}_{time:05}"
            ids[item] = {"warp_id": time, "appearance_id": time, "camera_id": camera}
            table = {
                "orientation": pose[:3, :3].tolist(),
                "position": invert(pose)[:3, 3].tolist(),
                "focal_length": 40.0,
                "principal_point": [16.0, 12.0],
                "image_size": [32, 24],
                "pixel_aspect_ratio": 1.0,
                "skew": 0.0,
                "radial_distortion": [0.1, 0.2, 0.3],
                "tangential": [0.01, 0.02],
            }
            (path / "camera" / f"{item}.json").write_text(json.dumps(table))
            if camera == 0:
                np.save(path / "depth/1x" / f"{item}.npy", np.ones((24, 32, 1), np.float32))
    write_pictures([path / "rgb/1x" / f"{item}.png" for item in ids])
    (path / "dataset.json").write_text(json.dumps({"ids": list(ids), "train_ids": []}))
    (path / "metadata.json").write_text(json.dumps(ids))
    (path / "extra.json").write_text(json.dumps({"fps": 15}))


def write_multicam(path, rig, write_film):
    """Unreal: centimetres, y mirrored, row vectors; rows forward, right, up, place."""
    table = {}
    for t in range(5):
        frame = {}
        for name, pose in zip(rig[0], rig[2], strict=True):
            right, down, forward = pose[:3, :3]
            rows = np.stack([forward, right, -down, invert(pose)[:3, 3]]) * [1, -1, 1]
            last = [0, 0, 0, 1]
            words = [" ".join(map(str, [*row, end])) for row, end in zip(rows, last, strict=True)]
            frame[name] = " ".join(f"[{text}]" for text in words) + " "
        table[f"frame{t}"] = frame
    (path / "cameras").mkdir(parents=True, exist_ok=True)
    (path / "cameras/camera_extrinsics.json").write_text(json.dumps(table))
    for name in rig[0]:
        write_film(path / f"videos/{name}.mp4", range(0, 20, 4), size=(32, 32))


def write_instants(path, rig, write_pictures):
    from scipy.spatial.transform import Rotation

    for t in range(2):
        project = path / f"colmap_{t}" / "sparse/0"
        project.mkdir(parents=True, exist_ok=True)
        (project / "cameras.txt").write_text("# cameras\n1 PINHOLE 32 24 40 40 16 12\n")
        lines = ["# images"]
        for i, (name, pose) in enumerate(zip(rig[0], rig[2], strict=True), 1):
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
            numbers = " ".join(repr(float(value)) for value in (w, x, y, z, *pose[:3, 3]))
            lines += [f"{i} {numbers} 1 {name}.png", ""]
            write_pictures([path / f"colmap_{t}/images/{name}.png"])
        (project / "images.txt").write_text("\n".join(lines))
    (path / "camera_extrinsic.json").write_text("{}")


def write_ours(path, rig, write_film):
    names, lens, poses = rig
    cameras = [
        {
            "name": name,
            "width": 32,
            "height": 24,
            "intrinsics": lens.tolist(),
            "world_to_camera": pose.tolist(),
            "offset": 0.25,
        }
        for name, pose in zip(names, poses, strict=True)
    ]
    path.mkdir(parents=True, exist_ok=True)
    words = {"unit": 0.5, "license": "CC0-1.0", "caption": "a ball"}
    (path / "cameras.json").write_text(json.dumps({**words, "cameras": cameras}))
    for name in names:
        write_film(path / f"{name}.mp4", range(0, 20, 4), size=(24, 32))


@pytest.fixture
def write(write_film, write_pictures, rig):
    """A function that writes the rig in a layout."""
    with_films = {"llff": write_llff, "multicam": write_multicam, "cameras_json": write_ours}
    with_pictures = {
        "panoptic": write_panoptic,
        "dycheck": write_dycheck,
        "instants": write_instants,
    }

    def write_layout(layout, path):
        if layout in with_films:
            with_films[layout](path, rig, write_film)
        else:
            with_pictures[layout](path, rig, write_pictures)
        return path

    return write_layout


ALL = ("llff", "multicam", "cameras_json", "panoptic", "dycheck", "instants")


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


def test_llff_rows_and_files_must_be_as_many(tmp_path, write):
    path = write("llff", tmp_path / "s")
    (path / "cam10.mp4").unlink()
    with pytest.raises(
        ValueError, match="found 3 poses and 2 videos or pictures, expected as many"
    ):
        llff.read(path, None)
    np.save(path / "poses_bounds.npy", np.zeros((3, 15)))
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: found float64 \(3, 15\)"):
        llff.read(path, None)
    (path / "poses_bounds.npy").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"poses_bounds\.npy: found no readable array"):
        llff.read(path, None)


def test_panoptic_masks_and_counts(tmp_path, write):
    path = write("panoptic", tmp_path / "s")
    (capture,) = panoptic.read(path, 10.0)
    assert capture.views[1].masks[0] == path / "seg/1/000000.png"
    assert capture.fps == pytest.approx(10)
    table = json.loads((path / "train_meta.json").read_text())
    (path / "train_meta.json").write_text(json.dumps(table | {"fn": table["fn"][:1]}))
    with pytest.raises(ValueError, match="found k 2, w2c 2, fn 1, cam_id 2 instants"):
        panoptic.read(path, None)
    del table["k"]
    (path / "train_meta.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="expected a field k"):
        panoptic.read(path, None)


def test_dycheck_times_depth_and_distortion(tmp_path, write):
    path = write("dycheck", tmp_path / "s")
    (capture,) = dycheck.read(path, None)
    first = capture.views[0]
    assert [file.stem for file in first.files] == ["0_00001", "0_00002", "0_00003"]
    np.testing.assert_allclose(first.timestamps, np.array([1, 2, 3]) / 15)
    np.testing.assert_allclose(first.distortion[:5], [0.1, 0.2, 0.01, 0.02, 0.3])
    assert [len(view.depth) for view in capture.views] == [3, 0, 0]
    (path / "camera/1_00002.json").unlink()
    with pytest.raises(ValueError, match=r"1_00002\.json: found No such file"):
        dycheck.read(path, None)


def test_multicam_needs_a_focal_length_and_whole_matrices(tmp_path, write):
    path = write("multicam", tmp_path / "f18_aperture10" / "scene1")
    (capture,) = multicam.read(path, None)
    assert (capture.unit, capture.scene_id) == (0.01, "f18_aperture10/scene1")
    file = path / "cameras/camera_extrinsics.json"
    table = json.loads(file.read_text())
    table["frame2"]["cam2"] = "[1 0 0 0]"
    file.write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"frame2, cam2: found .* expected a matrix of 16 numbers"):
        multicam.read(path, None)
    shutil.move(path, tmp_path / "scene1")
    with pytest.raises(ValueError, match="found no focal length"):
        multicam.read(tmp_path / "scene1", None)


def test_an_instant_without_a_camera_is_named(tmp_path, write):
    path = write("instants", tmp_path / "s")
    lines = (path / "colmap_1/sparse/0/images.txt").read_text().splitlines()
    (path / "colmap_1/sparse/0/images.txt").write_text("\n".join(lines[:-2]))
    with pytest.raises(ValueError, match="camera cam10: found it at 1 of 2 instants"):
        instants.read(path, None)
    shutil.rmtree(path / "colmap_1/sparse")
    with pytest.raises(ValueError, match="sparse/0: found no cameras and images"):
        instants.read(path, None)


def test_our_json_takes_offsets_words_and_says_what_it_ignored(tmp_path, write):
    path = write("cameras_json", tmp_path / "s")
    (capture,) = cameras_json.read(path, None)
    assert (capture.unit, capture.license, capture.caption) == (0.5, "CC0-1.0", "a ball")
    assert capture.views[0].timestamps[0] == 0.25
    table = json.loads((path / "cameras.json").read_text())
    table["cameras"][0] |= {"zoom": 3}
    (path / "cameras.json").write_text(json.dumps(table))
    assert "not read: zoom" in cameras_json.read(path, None)[0].note
    table["cameras"][1]["name"] = "cam1"
    (path / "cameras.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match="found camera cam1 twice"):
        cameras_json.read(path, None)


def test_detection_says_what_every_importer_looked_for(tmp_path):
    with pytest.raises(ValueError, match="found no known layout") as failure:
        detect(tmp_path)
    for name in LAYOUTS:
        assert f"{name}: n" in str(failure.value)  # "no ...", "none of ..."


def test_tables_of_another_form_are_bad_input(tmp_path):
    (tmp_path / "cameras.json").write_text('{"cameras": [{"name": "a"}, 3]}')
    with pytest.raises(ValueError, match="expected a field name"):
        read_captures(tmp_path, "cameras_json", None)
    (tmp_path / "train_meta.json").write_text(
        '{"w": 3, "h": 2, "k": 1, "w2c": 2, "fn": 3, "cam_id": 4}'
    )
    with pytest.raises(
        ValueError, match=r"panoptic: found tables of another form .* expected train"
    ):
        read_captures(tmp_path, "panoptic", None)


def test_sync_json_declares_offsets_and_times_of_any_layout(tmp_path, write):
    path = write("llff", tmp_path / "s")
    times = [0.0, 0.1, 0.2, 0.3, 0.4]
    (path / "sync.json").write_text(json.dumps({"cam1": 0.5, "cam10": times}))
    (capture,) = read_captures(path, "llff", None)
    starts = [view.timestamps[0] for view in capture.views]
    np.testing.assert_allclose(starts, [0.5, 0, 0])
    np.testing.assert_array_equal(capture.views[2].timestamps, times)
    for wrong, message in (
        ({"cam7": 1}, r"found cameras \['cam7'\]"),
        ({"cam1": times[:3]}, r"cam1: found shape \(3,\)"),
        ({"cam1": [0, 1, 1, 2, 3]}, "cam1: found times twice or going back"),
        ({"cam1": "soon"}, "cam1: found 'soon'"),
    ):
        (path / "sync.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match=message):
            read_captures(path, "llff", None)


def test_a_folder_of_scenes(tmp_path, write):
    write("llff", tmp_path / "b")
    write("cameras_json", tmp_path / "a")
    (tmp_path / "notes").mkdir()
    assert [(f.name, n) for f, n, *_ in find_scenes(tmp_path)] == [
        ("a", "cameras_json"),
        ("b", "llff"),
    ]
