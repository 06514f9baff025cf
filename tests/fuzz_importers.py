"""Input of importers for `fuzz_readers`: camera files beside three small pictures."""

import json
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

NAMES = ("a.jpg", "b.jpg", "c.jpg")
WIDTH, HEIGHT = 24, 16


def importers(scratch: Path, picture: bytes) -> dict[str, tuple]:
    """By name: whole camera files, how their names end, and what reads a capture with them."""
    from full4d_jax.media.video import write_video
    from input_pipeline.importers.detect import read_captures
    from input_pipeline.importers.opencv import load_table
    from input_pipeline.importers.qualisys import read_qca

    def read(layout: str, place: Path, folder: Path, path: Path) -> None:
        """The capture with the file `path` at `place`, which is then put back."""
        whole = place.read_bytes()
        place.write_bytes(path.read_bytes())
        try:
            read_captures(folder, layout, 10.0)
        finally:
            place.write_bytes(whole)

    found = {}
    for name, file, whole in [
        ("nerfstudio", "transforms.json", transforms()),
        ("dnerf", "transforms_train.json", transforms()),
        ("cameras_json", "cameras.json", _cameras()),
        ("llff", "poses_bounds.npy", _poses_bounds(scratch)),
        ("opencv", "rig.yaml", _opencv()),
    ]:
        folder = _capture(scratch / name, picture)
        (folder / file).write_bytes(whole)
        found[name] = (
            [whole],
            Path(file).suffix,
            partial(read, name, folder / file, folder),
        )
    person = scratch / "fdanyone"
    (person / "videos/dense").mkdir(parents=True)
    for i in range(2):
        write_video(person / f"videos/dense/0{i}.mp4", np.zeros((3, HEIGHT, WIDTH, 3), np.uint8), 6)
    generated = person / "cameras.json"
    generated.write_bytes(_fdanyone())
    found["fdanyone"] = ([_fdanyone()], ".json", partial(read, "fdanyone", generated, person))
    phone = scratch / "record3d"
    (phone / "rgbd").mkdir(parents=True)
    for place in (phone / "rgbd/0.jpg", phone / "rgbd/0.depth"):
        place.write_bytes(picture)
    place = phone / "metadata"
    place.write_bytes(_record3d())
    found["record3d"] = ([_record3d()], ".json", partial(read, "record3d", place, phone))
    for ending, files in (("bin", _binary_model()), ("txt", _text_model())):
        folder = _capture(scratch / f"colmap_{ending}", picture)
        model = folder / "sparse" / "0"
        model.mkdir(parents=True)
        for part, whole in files.items():
            (model / part).write_bytes(whole)
        for part, whole in files.items():
            reader = partial(read, "colmap", model / part, folder)
            found[f"colmap_{part}"] = ([whole], f".{ending}", reader)
    toml = f"""[cam_a]
name = "a"
size = [{WIDTH}.0, {HEIGHT}.0]
matrix = [[20.0, 0.0, 12.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]
distortions = [0.1, 0.01, 0.0, 0.0]
rotation = [0.1, 0.2, 0.3]
translation = [0.0, 0.0, 2.0]
"""
    return found | {
        "toml": ([toml.encode()], ".toml", load_table),
        "qca": ([QCA], ".txt", read_qca),
    }


QCA = b"""<calibration><cameras><camera serial="1" viewrotation="0">
<fov_video left="0" top="0" right="24" bottom="16"/>
<transform x="1" y="2" z="3" r11="1" r12="0" r13="0" r21="0" r22="1" r23="0" r31="0" r32="0"
 r33="1"/>
<intrinsic focalLengthU="1280" focalLengthV="1280" centerPointU="768" centerPointV="512" skew="0"
 radialDistortion1="0" radialDistortion2="0" radialDistortion3="0" tangentalDistortion1="0"
 tangentalDistortion2="0"/></camera></cameras></calibration>"""


def _capture(folder: Path, picture: bytes) -> Path:
    (folder / "images").mkdir(parents=True)
    for name in NAMES:
        films = folder / name[0] if folder.name in ("cameras_json", "opencv") else folder / "images"
        films.mkdir(exist_ok=True)
        (films / name).write_bytes(picture)
    return folder


def _poses() -> Iterator[list]:
    for step in range(len(NAMES)):
        pose = np.eye(4)
        pose[0, 3] = 0.2 * step
        yield pose.tolist()


def transforms() -> bytes:
    """Return a transforms.json of nerfstudio's."""
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": pose, "time": i / 2}
        for i, (name, pose) in enumerate(zip(NAMES, _poses(), strict=True))
    ]
    lens = {"fl_x": 20.0, "fl_y": 20.0, "cx": 12.0, "cy": 8.0, "w": WIDTH, "h": HEIGHT, "k1": 0.01}
    return json.dumps(lens | {"camera_angle_x": 1.1, "frames": frames}).encode()


def _record3d() -> bytes:
    sizes = {"w": WIDTH, "h": HEIGHT, "dw": 6, "dh": 4, "fps": 60}
    lens = {"K": [20.0, 0, 0, 0, 20.0, 0, 12.0, 8.0, 1.0]}
    more = {"perFrameIntrinsicCoeffs": [[20.0, 20.0, 12.0, 8.0]], "frameTimestamps": [0.5]}
    return json.dumps(sizes | lens | more | {"poses": [[0.0, 0, 0, 1, 0, 0, 2]]}).encode()


def _fdanyone() -> bytes:
    lens = [[20.0, 0, 12.0], [0, 20.0, 8.0], [0, 0, 1]]
    cameras = [
        {
            "camera_id": i,
            "K": lens,
            "camera_to_world": pose,
            "image_width": WIDTH,
            "image_height": HEIGHT,
            "video": f"videos/dense/0{i}.mp4",
        }
        for i, pose in zip(range(2), _poses(), strict=False)
    ]
    return json.dumps({"camera_model": "OPENCV", "cameras": cameras}).encode()


def _cameras() -> bytes:
    matrix = [[20.0, 0, 12.0], [0, 20.0, 8.0], [0, 0, 1]]
    cameras = [
        {"name": name[0], "intrinsics": matrix, "world_to_camera": pose, "timestamps": [0.0]}
        for name, pose in zip(NAMES, _poses(), strict=True)
    ]
    return json.dumps({"fps": 10, "cameras": cameras}).encode()


def _opencv() -> bytes:
    lens = (
        "!!opencv-matrix {rows: 3, cols: 3, dt: d, data: [20., 0., 12., 0., 20., 8., 0., 0., 1.]}"
    )
    lines = ["%YAML:1.0", "---"]
    for name, pose in zip(NAMES, _poses(), strict=True):
        shift = [row[3] for row in pose[:3]]
        lines += [f"{name[0]}:", f"  K: {lens}", "  rvec: [0.1, 0.2, 0.3]", f"  t: {shift}"]
    return "\n".join(lines).encode()


def _poses_bounds(scratch: Path) -> bytes:
    rows = [
        np.append(np.column_stack([np.array(pose)[:3], [HEIGHT, WIDTH, 20.0]]), [1.0, 5.0])
        for pose in _poses()
    ]
    np.save(scratch / "rows.npy", np.stack(rows))
    return (scratch / "rows.npy").read_bytes()


def _binary_model() -> dict[str, bytes]:
    lenses = struct.pack("<QiiQQ4d", 1, 1, 1, WIDTH, HEIGHT, 20.0, 20.0, 12.0, 8.0)
    images = struct.pack("<Q", len(NAMES))
    for i, name in enumerate(NAMES):
        images += struct.pack("<i7di", i + 1, 1, 0, 0, 0, 0.2 * i, 0, 0, 1)
        images += name.encode() + b"\0" + struct.pack("<Qddq", 1, 3.0, 4.0, -1)
    return {"cameras.bin": lenses, "images.bin": images}


def _text_model() -> dict[str, bytes]:
    lines = [f"{i + 1} 1 0 0 0 {0.2 * i} 0 0 1 {name}\n3 4 -1" for i, name in enumerate(NAMES)]
    lens = f"# lenses\n1 PINHOLE {WIDTH} {HEIGHT} 20 20 12 8\n"
    return {"cameras.txt": lens.encode(), "images.txt": ("\n".join(lines) + "\n").encode()}
