"""Small files under the names that the documents' commands use."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
from documented import PAGES, ROOT
from textured_room import make_room

from full4d_jax.media.video_io import write_video
from input_pipeline.addresses import address_of
from input_pipeline.transforms import decode_depth, decode_jpeg

# Options that follow a documented command to keep it short: those of the longest start that fits.
CLIPS = "--data.views 3 --data.frames 2 --data.height 32 --data.width 32"
LIFT = "--lift.steps 2 --lift.capacity 300 --lift.distillation none"
LOOK = "--size 32 --orbit_seconds 0.2"
FILE = r"^```python\n# (\S+\.py)\n(.*?)^```"
SHORT = {
    "run": f"{CLIPS} {LIFT} {LOOK}",
    "sample": CLIPS,
    "lift": LIFT,
    "render": LOOK,
    "train": "--model.layers 1 --model.refiner 1",
    "data procedural": "--views 2 --frames 2 --height 32 --width 32 --scenes 2 --shards 1",
}


def short(words: list[str]) -> list[str]:
    """Return a command's words with the options that keep it short."""
    fitting = [start for start in SHORT if " ".join(words).startswith(start)]
    return words + (SHORT[max(fitting, key=len)].split() if fitting else [])


def sketch(words: list[str]) -> None:
    """Make empty files where a command's words name a source, so that its kind can be told."""
    folders = {"sets": "index.json", "out": "grid.npz", "CAPTURE": "transforms.json"}
    folders |= {"CALIBRATED": "cameras.json"}
    folders |= {"VIDEOS": "a.mp4", "OTHERS": "a.mp4"}
    for word in words:
        place = Path(word)
        parts = place.parts[2:] if address_of(word) else place.parts
        if parts and parts[0] in folders:
            place.mkdir(parents=True, exist_ok=True)
            (place / folders[parts[0]]).touch()
        elif place.suffix in (".mp4", ".npz", ".r3d"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()


def make_world(folder: Path, run) -> None:
    """Fill an empty working directory; `run` runs one full4d command there."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    for page in PAGES:  # blocks that begin with the name of a file
        for name, text in re.findall(FILE, page.read_text(), re.DOTALL | re.MULTILINE):
            (folder / name).write_text(text)
    room = make_room(views=3, height=120, width=160, frames=3)
    pictures = np.array([[decode_jpeg(file) for file in view] for view in room.frames])
    write_rig(folder / "CAPTURE", room, pictures)
    shutil.copytree(folder / "CAPTURE", folder / "my_capture")
    poses, intrinsics = room.world_to_camera[:, :2], room.intrinsics.copy()
    intrinsics[:, :2, 2] -= [64, 44]
    frames = pictures[:, :2, 44:76, 64:96]
    np.savez("capture.npz", frames=frames, intrinsics=intrinsics, world_to_camera=poses)
    np.save("poses.npy", poses[:, 0])
    rows = [{"file_path": "a.png", "transform_matrix": x.tolist()} for x in poses[:, 0]]
    (folder / "transforms.json").write_text(json.dumps({"frames": rows}))
    for name in ("in", "a", "b", "A", "B"):
        write_video(folder / f"{name}.mp4", np.repeat(pictures[0, :1], 12, 0), 12)
    run("full4d data import CAPTURE --out sets/mine --size 256")
    shutil.copytree(folder / "sets" / "mine", folder / "DATASET")
    run("full4d run in.mp4 --out out/demo")
    run("full4d convert splats out/demo guitar.compressed.ply")


def write_rig(folder: Path, room, pictures: np.ndarray) -> None:
    """Write a rig as `cameras.json`, with a folder of pictures and one of depth per camera.

    The shipped depth network knows no rooms of noise, so the rig brings its depth.
    """
    cameras = []
    for i, view in enumerate(pictures):
        (folder / f"cam{i}").mkdir(parents=True)
        (folder / "depth" / f"cam{i}").mkdir(parents=True)
        for j, picture in enumerate(view):
            cv2.imwrite(str(folder / f"cam{i}" / f"{j}.png"), picture[..., ::-1])
            depth = decode_depth(room.depth16.item(i, j))
            np.save(folder / "depth" / f"cam{i}" / f"{j}.npy", depth)
        pose, lens = room.world_to_camera[i, 0].tolist(), room.intrinsics[i].tolist()
        cameras.append({"name": f"cam{i}", "intrinsics": lens, "world_to_camera": pose})
    (folder / "cameras.json").write_text(json.dumps({"cameras": cameras}))
