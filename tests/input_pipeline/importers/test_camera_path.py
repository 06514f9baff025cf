"""Camera paths: the same film as our JSON, nerfstudio's camera_path.json and transforms.json."""

import json
from pathlib import Path

import numpy as np

from input_pipeline.cameras import orbit
from input_pipeline.conventions import convert
from input_pipeline.importers.camera_path import read_path

POSES = orbit(np.array([-10.0, 0.0, 5.0, 10.0]), np.array([0.0, 5.0, 5.0, 0.0]))
FOV = 40.0  # degrees, of the height
FOCAL = 240 / np.tan(np.radians(FOV) / 2)
LENS = np.array([[FOCAL, 0, 320], [0, FOCAL, 240], [0, 0, 1]])
TIMES = [0, 0.25, 0.5, 1]


def write(path: Path, content: dict) -> Path:
    path.write_text(json.dumps(content))
    return path


def nerfstudio() -> dict:
    poses = convert(POSES, "opencv", "opengl")
    cameras = [
        {"camera_to_world": pose.ravel().tolist(), "fov": FOV, "aspect": 4 / 3, "render_time": time}
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
        write(tmp_path / "ours.json", {**ours, "image_size": [640, 480], "times": TIMES}),
        write(tmp_path / "camera_path.json", nerfstudio()),
        write(tmp_path / "transforms.json", {**lens, "frames": frames}),
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
