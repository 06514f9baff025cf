"""One rig of cameras, and how each layout writes it by its published description."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from input_pipeline import pinhole
from input_pipeline.pinhole import invert


@pytest.fixture
def rig():
    """Three cameras around (0, 0, 1): names, intrinsics (3 3) and poses (3 4 4) of 24x32 pixels."""
    azimuth, elevation = np.array([[-30.0, 0.0, 30.0], [10.0, 0.0, -5.0]])
    poses = pinhole.orbit(azimuth, elevation, 2.0)
    lens = np.array([[40.0, 0, 16], [0, 40.0, 12], [0, 0, 1]])
    return ["cam1", "cam2", "cam10"], lens, poses


@pytest.fixture
def check():
    """A function that compares views with the rig's poses and intrinsics, in its order."""

    def check_views(views, poses, lens):
        for view, pose in zip(views, poses, strict=True):
            np.testing.assert_allclose(view.world_to_camera[0], pose, atol=1e-9)
            np.testing.assert_allclose(view.intrinsics, lens, atol=1e-9)

    return check_views


def save(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table))


def write_llff(path, rig, videos, pictures):
    """Rows: 3x5 of [down right backward centre | height width focal], near, far.

    LLFF's own script sorts names by character: cam1, cam10, cam2.
    """
    rows = []
    for _, pose in sorted(zip(rig[0], rig[2], strict=True), key=lambda row: row[0]):
        right, down, forward = pose[:3, :3]
        center = invert(pose)[:3, 3]
        matrix = np.stack([down, right, -forward, center, [24, 32, 40]], 1)
        rows.append([*matrix.ravel(), 0.1, 10])
    videos(path)
    np.save(path / "poses_bounds.npy", np.array(rows))


def write_panoptic(path, rig, videos, pictures):
    names, lens, poses = rig
    fn = [[f"{i}/{t:06}.jpg" for i in range(3)] for t in range(2)]
    table = {"w": 32, "h": 24, "k": [[lens.tolist()] * 3] * 2, "fn": fn}
    table |= {"w2c": [poses.tolist()] * 2, "cam_id": [[0, 1, 2]] * 2}
    save(path / "train_meta.json", table)
    files = [name for row in fn for name in row]
    pictures([path / "ims" / name for name in files])
    pictures([path / "seg" / name.replace(".jpg", ".png") for name in files])


DYCHECK_LENS = {"focal_length": 40.0, "principal_point": [16.0, 12.0]}
DYCHECK_LENS |= {"image_size": [32, 24], "pixel_aspect_ratio": 1.0, "skew": 0.0}
DYCHECK_LENS |= {"radial_distortion": [0.1, 0.2, 0.3], "tangential": [0.01, 0.02]}


def write_dycheck(path, rig, videos, pictures):
    (path / "depth/1x").mkdir(parents=True)
    ids = {}
    for camera, pose in enumerate(rig[2]):
        for time in (3, 1, 2):
            item = f"{camera}_{time:05}"
            ids[item] = {"warp_id": time, "appearance_id": time, "camera_id": camera}
            place = invert(pose)[:3, 3].tolist()
            there = {"orientation": pose[:3, :3].tolist(), "position": place}
            save(path / "camera" / f"{item}.json", DYCHECK_LENS | there)
            if camera == 0:
                ones = np.ones((24, 32, 1), np.float32)
                np.save(path / "depth/1x" / f"{item}.npy", ones)
    pictures([path / "rgb/1x" / f"{item}.png" for item in ids])
    save(path / "dataset.json", {"ids": list(ids), "train_ids": []})
    save(path / "metadata.json", ids)
    save(path / "extra.json", {"fps": 15})


def write_multicam(path, rig, videos, pictures):
    """Unreal: centimetres, y mirrored, row vectors; rows forward, right, up, place."""
    table = {}
    for t in range(5):
        frame = {}
        for name, pose in zip(rig[0], rig[2], strict=True):
            right, down, forward = pose[:3, :3]
            rows = np.stack([forward, right, -down, invert(pose)[:3, 3]]) * [1, -1, 1]
            last = [0, 0, 0, 1]
            lines = zip(rows, last, strict=True)
            words = [" ".join(map(str, [*row, end])) for row, end in lines]
            frame[name] = " ".join(f"[{text}]" for text in words) + " "
        table[f"frame{t}"] = frame
    save(path / "cameras/camera_extrinsics.json", table)
    videos(path / "videos", size=(32, 32))


def write_instants(path, rig, videos, pictures):
    for t in range(2):
        project = path / f"colmap_{t}" / "sparse/0"
        save(path / "camera_extrinsic.json", {})
        project.mkdir(parents=True)
        (project / "cameras.txt").write_text("# cameras\n1 PINHOLE 32 24 40 40 16 12\n")
        lines = ["# images"]
        for i, (name, pose) in enumerate(zip(rig[0], rig[2], strict=True), 1):
            x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
            numbers = " ".join(repr(float(n)) for n in (w, x, y, z, *pose[:3, 3]))
            lines += [f"{i} {numbers} 1 {name}.png", ""]
            pictures([path / f"colmap_{t}/images/{name}.png"])
        (project / "images.txt").write_text("\n".join(lines))


def write_ours(path, rig, videos, pictures):
    names, lens, poses = rig
    same = {"width": 32, "height": 24, "intrinsics": lens.tolist(), "offset": 0.25}
    cameras = [
        {"name": name, **same, "world_to_camera": pose.tolist()}
        for name, pose in zip(names, poses, strict=True)
    ]
    words = {"unit": 0.5, "license": "CC0-1.0", "caption": "a ball"}
    save(path / "cameras.json", {**words, "cameras": cameras})
    videos(path)


def write_fdanyone(path, rig, videos, pictures):
    """4DAnyone: OpenCV camera-to-world, videos by number; sparse views, skeletons beside them."""
    same = {"layer_index": 0, "pitch": 0, "K": rig[1].tolist(), "image_width": 32}
    same |= {"image_height": 24, "skeleton_video": "skeletons/00.mp4"}
    cameras = [
        {"camera_id": i, "video": f"videos/dense/{i:02d}.mp4", **same}
        | {"camera_to_world": invert(pose).tolist()}
        for i, pose in enumerate(rig[2])
    ]
    videos(path / "videos/dense", names=("00", "01", "02"))
    videos(path / "videos/sparse", names=("00",))
    save(path / "cameras.json", {"camera_model": "OPENCV", "cameras": cameras})


def write_opencv(path, rig, videos, pictures):
    names, lens, poses = rig
    cameras = [
        {"name": n, "K": lens.tolist(), "R": p[:3, :3].tolist(), "t": p[:3, 3].tolist()}
        for n, p in zip(names, poses, strict=True)
    ]
    save(path / "rig.json", cameras)
    videos(path)


WRITERS = {
    "llff": write_llff,
    "multicam": write_multicam,
    "cameras_json": write_ours,
    "fdanyone": write_fdanyone,
    "opencv": write_opencv,
    "panoptic": write_panoptic,
    "dycheck": write_dycheck,
    "instants": write_instants,
}


@pytest.fixture
def write(make_video, write_pictures, rig):
    """A function that writes the rig in a layout."""

    def videos(folder, names=rig[0], size=(24, 32)):
        for name in names:
            make_video(folder / f"{name}.mp4", range(0, 20, 4), size=size)

    def write_layout(layout, path):
        WRITERS[layout](path, rig, videos, write_pictures)
        return path

    return write_layout
