"""Calibrations as OpenCV's programs write them; what they give projects as cv2.projectPoints."""

import json

import cv2
import numpy as np
import pytest
import yaml

from input_pipeline.importers.detect import detect, read_captures

BENT = [0.1, -0.05, 0.002, -0.001, 0.01]
NAMES = ("cam1", "cam2", "cam10")
POINTS = np.random.default_rng(0).uniform([-0.4, -0.3, 0.7], [0.4, 0.3, 1.4], (50, 3))


@pytest.fixture
def videos(tmp_path, make_video):
    """The folder of the capture, with a video for each camera."""
    for name in NAMES:
        make_video(tmp_path / f"{name}.mp4", range(0, 20, 4), size=(24, 32))
    return tmp_path


@pytest.fixture
def lists(rig):
    """The rig's cameras as lists, with OpenCV's pixel centres at whole numbers."""
    _, lens, poses = rig
    matrix = lens - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    return {
        name: {
            "matrix": matrix.tolist(),
            "distortions": BENT,
            "rotation": cv2.Rodrigues(pose[:3, :3])[0].ravel().tolist(),
            "translation": pose[:3, 3].tolist(),
            "size": [32, 24],
        }
        for name, pose in zip(NAMES, poses, strict=True)
    }


def toml(sections):
    lines = []
    for name, table in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines)


def storage(file, fields):
    """Write fields with OpenCV's own writer."""
    writer = cv2.FileStorage(str(file), cv2.FileStorage_WRITE)
    for name, value in fields.items():
        writer.write(name, np.array(value) if isinstance(value, list) else value)
    writer.release()


def write_storage(folder, lists, ending):
    for name, camera in lists.items():
        fields = {
            "image_width": 32,
            "image_height": 24,
            "camera_matrix": camera["matrix"],
            "distortion_coefficients": [BENT],
            "R": cv2.Rodrigues(np.array(camera["rotation"]))[0].tolist(),
            "T": [[x] for x in camera["translation"]],
        }
        storage(folder / f"{name}{ending}", fields)


def write_easymocap(folder, lists):
    lens = {f"K_{n}": c["matrix"] for n, c in lists.items()}
    lens |= {f"dist_{n}": [BENT] for n in lists}
    pose = {f"R_{n}": [[x] for x in c["rotation"]] for n, c in lists.items()}
    pose |= {f"T_{n}": [[x] for x in c["translation"]] for n, c in lists.items()}
    storage(folder / "intri.yml", lens)
    storage(folder / "extri.yml", pose)


def kalibr(poses, matrix, bent, model):
    """Text as Kalibr writes it; https://github.com/ethz-asl/kalibr/wiki/yaml-formats."""
    (fu, _, pu), (_, fv, pv), _ = matrix
    lens = {"camera_model": "pinhole", "intrinsics": [fu, fv, pu, pv]}
    lens |= {"resolution": [32, 24], "cam_overlaps": [1]}
    lens |= {"distortion_coeffs": bent, "distortion_model": model}
    cameras = {f"cam{index}": {**lens} for index in range(len(poses))}
    for index in range(1, len(poses)):
        step = poses[index] @ np.linalg.inv(poses[index - 1])
        cameras[f"cam{index}"]["T_cn_cnm1"] = step.tolist()
    return yaml.safe_dump(cameras)


def write(form, folder, lists):
    """Write the cameras as one of the programs does."""
    (folder / "calibration").mkdir()
    place = folder / "calibration"
    named = {f"cam_{i}": {"name": n, **c} for i, (n, c) in enumerate(lists.items())}
    if form == "aniposelib":
        text = toml(named | {"metadata": {"adjusted": False, "error": 0.5}})
        (place / "calibration.toml").write_text(text)
    elif form == "caliscope":  # videos are cam_1.mp4 and so on
        ids = {n: int(n[3:]) for n in lists}
        numbered = {f"cameras.{i}": {"cam_id": i, **lists[n]} for n, i in ids.items()}
        numbered["cameras.7"] = {"ignore": True, "matrix": "null", "rotation": "null"}
        (folder / "camera_array.toml").write_text(toml(numbered))
    elif form == "caliscope before 0.4":
        old = {f"cam_{n[3:]}": {"port": int(n[3:]), **c} for n, c in lists.items()}
        for camera in old.values():
            camera["rotation"] = cv2.Rodrigues(np.array(camera["rotation"]))[0].tolist()
        date = "CreationDate = 2023-03-31T09:56:43\n"
        (folder / "config.toml").write_text(date + toml(old))
    elif form == "easymocap":
        write_easymocap(folder, lists)
    elif form == "list":
        table = [{"name": n, **c} for n, c in lists.items()]
        (place / "rig.json").write_text(json.dumps(table))
    else:
        write_storage(place, lists, form)


FORMS = (".yml", ".yaml", ".json", "list", "easymocap", "aniposelib", "caliscope")


@pytest.mark.parametrize("form", [*FORMS, "caliscope before 0.4"])
def test_points_land_where_opencv_puts_them(form, videos, lists, rig, check):
    write(form, videos, lists)
    found, why, _ = detect(videos)
    assert found == "opencv", why
    (capture,) = read_captures(videos, "opencv", None)
    assert [view.name for view in capture.views] == list(NAMES)
    assert capture.unit == 0
    check(capture.views, rig[2], rig[1])
    for view, camera in zip(capture.views, lists.values(), strict=True):
        rotation, shift = np.array(camera["rotation"]), np.array(camera["translation"])
        matrix, bent = np.array(camera["matrix"]), np.array(BENT)
        expected = cv2.projectPoints(POINTS, rotation, shift, matrix, bent)[0][:, 0]
        pose = view.world_to_camera[0]
        seen = POINTS @ pose[:3, :3].T + pose[:3, 3]
        centred = view.intrinsics - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
        zero = np.zeros(3)
        ours = cv2.projectPoints(seen, zero, zero, centred, view.distortion)[0]
        np.testing.assert_allclose(ours[:, 0], expected, atol=1e-6)


FISHEYE = [0.05, -0.01, 0.003, -0.001]  # k1 k2 k3 k4
# Pixels.
EDGES = np.array([[x, y] for x in (0.5, 8, 16, 24, 31.5) for y in (0.5, 12, 23.5)])


@pytest.mark.parametrize("form", [".yml", "aniposelib", "pose2sim", "kalibr", "ours"])
def test_a_fisheye_lens_meets_the_same_rays_as_opencv_s_own(form, videos, lists, rig):
    (videos / "calibration").mkdir()
    for camera in lists.values():
        camera |= {"distortions": FISHEYE, "fisheye": True}
        camera["matrix"] = [[18.0, 0, 15.5], [0, 18.0, 11.5], [0, 0, 1]]  # 90 degrees
    lens = np.array(lists["cam1"]["matrix"])
    if form == ".yml":  # with K and D, as cv2.fisheye calls them
        for name, camera in lists.items():
            fields = {"fisheye_model": 1, "K": camera["matrix"]}
            fields |= {"D": [[x] for x in FISHEYE]}
            fields |= {"R": camera["rotation"], "T": camera["translation"]}
            storage(videos / "calibration" / f"{name}.yml", fields)
    elif form == "ours":
        centred = (lens + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]).tolist()
        fields = {"intrinsics": centred, "distortion": FISHEYE, "fisheye": True}
        entries = [
            {"name": name, "world_to_camera": pose.tolist(), **fields}
            for name, pose in zip(NAMES, rig[2], strict=True)
        ]
        (videos / "cameras.json").write_text(json.dumps({"cameras": entries}))
    elif form == "kalibr":
        text = kalibr(rig[2], lens.tolist(), FISHEYE, "equidistant")
        for index, name in enumerate(NAMES):
            (videos / f"{name}.mp4").rename(videos / f"cam{index}_of_three.mp4")
        (videos / "camchain.yaml").write_text(text)
    else:
        named = {f"cam_{i}": {"name": n, **c} for i, (n, c) in enumerate(lists.items())}
        if form == "aniposelib":
            del named["cam_0"]["size"]
        (videos / "calibration" / "Calib.toml").write_text(toml(named))
    layout, _, _ = detect(videos)
    assert layout == ("cameras_json" if form == "ours" else "opencv")
    (capture,) = read_captures(videos, layout, None)
    assert capture.unit == (1 if form in ("pose2sim", "kalibr") else 0)
    slopes = cv2.fisheye.undistortPoints(EDGES[:, None] - 0.5, lens, np.array(FISHEYE))
    assert np.degrees(np.arctan(np.linalg.norm(slopes, axis=-1).max())) > 50
    for view in capture.views:
        rays = np.concatenate([slopes, np.ones((len(EDGES), 1, 1))], -1)
        none = np.zeros(3)
        ours = cv2.projectPoints(rays, none, none, view.intrinsics, view.distortion)[0]
        np.testing.assert_allclose(ours[:, 0], EDGES, atol=0.005)


def test_kalibr_goes_from_camera_to_camera(tmp_path, make_video, lists, rig, check):
    for index in range(3):
        make_video(tmp_path / f"cam{index}.mp4", range(0, 20, 4), size=(24, 32))
    text = kalibr(rig[2], lists["cam1"]["matrix"], BENT[:4], "radtan")
    (tmp_path / "camchain.yaml").write_text(text)
    (capture,) = read_captures(tmp_path, detect(tmp_path)[0], None)
    assert capture.unit == 1
    check(capture.views, rig[2] @ np.linalg.inv(rig[2][0]), rig[1])
    for view in capture.views:
        np.testing.assert_allclose(view.distortion, [*BENT[:4], 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rotation", None, "cam2: found name, .*, expected a field rotation"),
        ("xi", [1.2], "cam2: found a lens of the kind omnidirectional"),
        ("distortions", [0.1, -0.1, 0.1, 0], "cam2, distortion: found four .* fisheye"),
    ],
)
def test_what_is_wrong_is_named(videos, lists, field, value, message):
    lists["cam2"] |= {field: value}
    if value is None:
        del lists["cam2"][field]
    table = [{"name": n, **c} for n, c in lists.items()]
    (videos / "rig.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=message):
        read_captures(videos, "opencv", None)
