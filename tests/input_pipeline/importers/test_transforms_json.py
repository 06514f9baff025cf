"""transforms.json: real photos, videos of moving cameras by formula, and paths of cameras alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.conventions import convert
from input_pipeline.importers import dnerf, transforms_json
from input_pipeline.importers.camera_path import read_path
from input_pipeline.importers.detect import read_captures
from input_pipeline.pinhole import invert, orbit


def opengl(pose):
    """Camera-to-world with columns right, up, backward, from ours."""
    return (invert(pose) @ np.diag([1.0, -1, -1, 1])).tolist()


def posed(pose):
    return {"transform_matrix": opengl(pose)}


def write(path, frames, **table):
    path.parent.mkdir(parents=True, exist_ok=True)
    lens = {"fl_x": 40, "fl_y": 40, "cx": 16, "cy": 12}
    path.write_text(json.dumps({**lens, **table, "frames": frames}))


def test_poses_and_applied_transform(tmp_path, rig, write_pictures, check):
    names, lens, poses = rig
    applied = np.array([[0.0, 1, 0, 0.5], [0, 0, 1, -1], [1, 0, 0, 2]])
    whole = np.vstack([applied, [0, 0, 0, 1]])
    write_pictures([tmp_path / "images" / f"{name}.png" for name in names])
    frames = []
    for name, pose in zip(names, poses, strict=True):
        moved = (whole @ opengl(pose)).tolist()
        frames.append({"file_path": f"images/{name}.png", "transform_matrix": moved})
    table = {"w": 32, "h": 24, "applied_transform": applied.tolist()}
    write(tmp_path / "transforms.json", frames[::-1], **table)
    (capture,) = transforms_json.read(tmp_path, None)
    # In natural order of names, although listed backwards.
    check(capture.views, poses, lens)


def test_paths_may_be_those_of_windows(tmp_path, rig, write_pictures):
    pictures = [tmp_path / "images" / f"{i}.png" for i in range(2)]
    masks = [tmp_path / "masks" / f"{i}.png" for i in range(2)]
    write_pictures([*pictures, *masks])
    frames = [
        {
            "file_path": f".\\images\\{i}.png",
            "mask_path": f"masks\\{i}.png",
            **posed(rig[2][i]),
        }
        for i in range(2)
    ]
    write(tmp_path / "transforms.json", frames)
    (capture,) = transforms_json.read(tmp_path, None)
    assert [view.files for view in capture.views] == [(x,) for x in pictures]
    assert [view.masks for view in capture.views] == [(x,) for x in masks]


@pytest.mark.parametrize("keys", ["xy", "x", "y"])
def test_angles_of_both_sides_count(tmp_path, rig, write_pictures, keys):
    write_pictures([tmp_path / "a.png", tmp_path / "b.png"])
    angles = {f"camera_angle_{axis}": {"x": 0.8, "y": 0.5}[axis] for axis in keys}
    frame = {"file_path": "a.png", **posed(rig[2][0])}
    table = {**angles, "frames": [frame]}
    (tmp_path / "transforms.json").write_text(json.dumps(table))
    (capture,) = read_captures(tmp_path, "nerfstudio", None)
    # The angles between rays through the middles of opposite edges of 24x32 pixels.
    middles = np.array([[0, 12, 1], [32, 12, 1], [16, 0, 1], [16, 24, 1.0]])
    rays = middles @ np.linalg.inv(capture.views[0].intrinsics).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    across, down = np.arccos([rays[0] @ rays[1], rays[2] @ rays[3]])
    seen = {"camera_angle_x": across, "camera_angle_y": down}
    assert {name: seen[name] for name in angles} == pytest.approx(angles)
    if len(keys) == 1:
        assert np.ptp(capture.views[0].intrinsics[[0, 1], [0, 1]]) == 0
    assert capture.note.startswith("1 of 2 pictures have no pose and are left out")
    (tmp_path / "transforms.json").write_text(json.dumps({"frames": [frame]}))
    with pytest.raises(ValueError, match="frame 0, lens: found nothing, expected one"):
        transforms_json.read(tmp_path, None)


def test_dnerf_is_a_moving_camera_a_split(tmp_path, rig, write_pictures):
    _, _, poses = rig
    for split, count in (("train", 3), ("val", 2)):
        write_pictures([tmp_path / split / f"r_{i:03}.png" for i in range(count)])
        frames = [
            {"file_path": f"./{split}/r_{i:03}", "time": i / 2, **posed(poses[i])}
            for i in range(count)
        ]
        table = {"camera_angle_x": 0.8, "frames": frames[::-1]}
        (tmp_path / f"transforms_{split}.json").write_text(json.dumps(table))
    train, val = dnerf.read(tmp_path, 10.0)
    assert train.scene_id == val.scene_id == tmp_path.name
    (view,) = train.views
    np.testing.assert_allclose(view.world_to_camera, poses, atol=1e-12)
    # Shares of 3 frames, 10 a second.
    np.testing.assert_allclose(view.timestamps, [0, 0.1, 0.2])
    focal = 16 / np.tan(0.4)
    lens = [[focal, 0, 16], [0, focal, 12], [0, 0, 1]]
    np.testing.assert_allclose(view.intrinsics, lens)
    (seconds,) = dnerf.read(tmp_path, None)[0].views
    np.testing.assert_allclose(seconds.timestamps, [0, 0.5, 1])


def test_shares_of_time_are_of_one_whole_for_all_films(tmp_path, write_pictures):
    times = {"a": [0, 0.25, 0.5, 0.75, 1], "b": [0.5, 0.75]}
    files = {f"{x}/{i}.png": t for x, ts in times.items() for i, t in enumerate(ts)}
    write_pictures([tmp_path / file for file in files])
    pose = {"transform_matrix": np.eye(4).tolist()}
    frames = [{"file_path": f, "time": t, **pose} for f, t in files.items()]
    write(tmp_path / "transforms.json", frames, fl_x=40)
    (capture,) = transforms_json.read(tmp_path, 10.0)
    starts = {view.name: view.timestamps.tolist() for view in capture.views}
    assert starts["b"] == pytest.approx([0.2, 0.3])
    assert starts["a"] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_folder_a_camera_with_depth_and_masks(tmp_path, rig, write_pictures, check):
    names, lens, poses = rig
    frames = []
    for name, pose in zip(names, poses, strict=True):
        for t in range(2):
            files = {k: f"{k}/{name}/{t}.png" for k in ("images", "depth", "masks")}
            write_pictures([tmp_path / file for file in files.values()])
            frame = {"file_path": files["images"], "time": t / 4, **posed(pose)}
            beside = {"depth_file_path": files["depth"], "mask_path": files["masks"]}
            frames.append(frame | beside)
    write(tmp_path / "transforms.json", frames, w=32, h=24)
    (capture,) = transforms_json.read(tmp_path, None)
    check(capture.views, poses, lens)
    view = capture.views[0]
    assert len(view.files) == len(view.depth) == len(view.masks) == 2
    assert view.depth_scale == 1e-3


def test_films_of_several_cameras_in_one_folder(tmp_path, rig, write_pictures):
    """Neural 3D Video as others convert it: images/cam00_0041.png, listed by time."""
    stems = [f"cam{camera:02}_{t:04}" for t in (0, 9, 10) for camera in (0, 1, 10)]
    write_pictures([tmp_path / f"images/{stem}.png" for stem in stems])
    names = "cam00", "cam01", "cam10"
    poses: dict[str, np.ndarray] = dict(zip(names, rig[2], strict=True))
    frames = [
        {"file_path": f"images/{x}", "time": int(x[6:]) / 30, **posed(poses[x[:5]])}
        for x in stems
    ]
    write(tmp_path / "transforms_train.json", frames, w=32, h=24)
    (capture,) = dnerf.read(tmp_path, None)
    assert [view.name for view in capture.views] == ["cam00", "cam01", "cam10"]
    for view in capture.views:
        assert [file.stem[6:] for file in view.files] == ["0000", "0009", "0010"]
        np.testing.assert_allclose(view.timestamps, np.array([0, 9, 10]) / 30)
        np.testing.assert_allclose(view.world_to_camera[2], poses[view.name], atol=1e-9)


POSES = orbit(np.array([-10.0, 0.0, 5.0, 10.0]), np.array([0.0, 5.0, 5.0, 0.0]))
FOV = 40.0  # degrees, of the height
FOCAL = 240 / np.tan(np.radians(FOV) / 2)
LENS = np.array([[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1]])
TIMES = [0, 0.25, 0.5, 1]


def save(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def nerfstudio() -> dict:
    poses = convert(POSES, "opencv", "opengl")
    lens = {"fov": FOV, "aspect": 4 / 3}
    cameras = [
        {"camera_to_world": pose.ravel().tolist(), "render_time": time, **lens}
        for pose, time in zip(poses, TIMES, strict=True)
    ]
    size = {"render_height": 480, "render_width": 640, "fps": 12, "seconds": 0.25}
    return {"camera_type": "perspective", "camera_path": cameras, **size}


def test_every_file_holds_the_same_film(tmp_path):
    poses = convert(POSES, "opencv", "opengl")
    frames = [
        {"file_path": f"{i:03d}.png", "transform_matrix": pose.tolist()}
        for i, pose in enumerate(poses)
    ]
    lens = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": 320, "cy": 240, "w": 640, "h": 480}
    ours = {"world_to_camera": POSES.tolist(), "intrinsics": LENS.tolist(), "fps": 12}
    files = (
        save(tmp_path / "ours.json", ours | {"image_size": [640, 480], "times": TIMES}),
        save(tmp_path / "camera_path.json", nerfstudio()),
        save(tmp_path / "transforms.json", {**lens, "frames": frames}),
    )
    for file in files:
        path = read_path(file)
        np.testing.assert_allclose(path.world_to_camera, POSES, atol=1e-9)
        assert path.intrinsics is not None
        np.testing.assert_allclose(path.intrinsics, LENS, rtol=1e-9)
        assert path.size == (480, 640)
    for file in files[:2]:
        path = read_path(file)
        assert path.fps == 12
        np.testing.assert_array_equal(path.times, TIMES)
