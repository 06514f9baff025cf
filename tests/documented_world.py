"""Files under the names that the documents' commands use, small and made by formula."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
from documented import ROOT
from documented_weights import write_wan
from skinned_arm import write_arm
from textured_room import make_room

from full4d_jax.media.video import write_video
from input_pipeline.transforms import decode_depth, decode_jpeg

# What keeps a documented command short: the options of the longest start that fits follow it.
MODEL = "--model.width 48 --model.layers 1 --model.heads 2 --model.ffn 48 --model.refiner 0"
CLIPS = "--data.views 3 --data.frames 2 --data.height 32 --data.width 32"
WAN = f"{MODEL} {CLIPS} --data.frames 5 --mesh.fsdp 1 --mesh.view 1 --mesh.time 1"
STEP = "--training.steps 1 --training.batch 2 --training.log_every 1 --mesh.data 1"
LIFT = "--lift.steps 2 --lift.capacity 300 --lift.distillation none"
LOOK = "--size 32 --seconds 0.2"
RENDERED = "--views 3 --frames 2 --height 32 --width 32"
SCENES = f"{RENDERED} --scenes 2 --shards 1"
SHORT = {
    "run": f"{CLIPS} {LIFT} {LOOK}",
    "sample": CLIPS,
    "sample configs/wan": f"{WAN} --sampler.steps 1",
    "lift": LIFT,
    "lift --dataset": f"{LIFT} --views 0 2 3",
    "render": LOOK,
    "train": f"{STEP} {MODEL} {CLIPS}",
    "train configs/demo.py --init": f"{STEP} {CLIPS}",
    "train configs/wan": f"{STEP} {WAN}",
    "convert wan": MODEL,
    "evaluate configs/demo.py --out": f"{CLIPS} --scenes 1 --lift_scenes 0",
    "evaluate configs/demo.py --records": f"{CLIPS} --lift_scenes 0",
    "evaluate configs/demo_few_step.py": f"{CLIPS} --scenes 1 --lift_scenes 0",
    "evaluate configs/four_real.py": f"{CLIPS} --scenes 1",
    "data import CAPTURE": "--size 64 --frames 2",
    "data encode configs/wan": WAN,
    "data show": "--scenes 1 --size 32",
    "data procedural": SCENES,
    "data procedural --out sets/deep": f"{SCENES} --frames 5",
    "data procedural --out sets/first_depth": f"{SCENES} --scenes 1 --frames 12",
    "data gltf": f"{RENDERED} --clips 1",
}


def short(words: list[str]) -> list[str]:
    """A command's words, and what keeps it short."""
    fitting = [start for start in SHORT if " ".join(words).startswith(start)]
    return words + (SHORT[max(fitting, key=len)].split() if fitting else [])


def make_world(folder: Path, command) -> None:
    """Fill an empty working directory; `command` runs the words of a full4d command there."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(ROOT / "configs" / "debug.py", folder / "CONFIG")
    room = make_room(views=4, height=120, width=160, frames=3)
    pictures = [[decode_jpeg(file) for file in view] for view in room.frames]
    write_capture(folder / "CAPTURE", room, pictures)
    shutil.copytree(folder / "CAPTURE", folder / "my_capture")
    shutil.copytree(folder / "CAPTURE", folder / "CAPTURES" / "room")
    poses = room.world_to_camera
    frames, intrinsics = np.array(pictures)[:, :2, 28:92, 48:112], room.intrinsics.copy()
    intrinsics[:, :2, 2] -= [48, 28]
    np.savez(
        folder / "capture.npz",
        frames=frames,
        intrinsics=intrinsics,
        world_to_camera=poses[:, :2],
    )
    np.save(folder / "poses.npy", poses[:, 0])
    rows = [{"file_path": "a.png", "transform_matrix": pose.tolist()} for pose in poses[:, 0]]
    (folder / "transforms.json").write_text(json.dumps({"frames": rows}))
    (folder / "ASSETS").mkdir()
    write_arm(folder / "ASSETS" / "arm.glb")
    write_arm(folder / "Fox.glb")
    for name in ("in", "a", "b", "A", "B"):
        write_video(folder / f"{name}.mp4", np.array(pictures[0] * 4), 12)
    command(["data", "import", "CAPTURE", "--out", "sets/mine"])
    command(["data", "procedural", "--out", "sets/scenes"])
    command(["data", "gltf", "ASSETS", "--out", "sets/assets"])
    for name in ("real", "out/scenes"):
        shutil.copytree(folder / "sets" / "scenes", folder / name)
    shutil.copytree(folder / "sets" / "mine", folder / "DATASET")
    command(["run", "--out", "out/demo"])
    command(["convert", "splats", "out/demo", "guitar.compressed.ply"])


def add_slow_world(folder: Path, command) -> None:
    """What slow blocks need besides: results of other blocks."""
    shipped = ROOT / "full4d_jax" / "checkpoints" / "prior.safetensors"
    for name in ("mine", "walk", "demo_few_step"):
        (folder / "runs" / name).mkdir(parents=True)
        shutil.copy(shipped, folder / "runs" / name / "prior.safetensors")
    for name in ("deep", "first_depth"):
        command(["data", "procedural", "--out", f"sets/{name}"])
    shutil.copytree(folder / "sets" / "first_depth", folder / "sets" / "second_depth")
    command(["run", "--dataset", "sets/mine", "--view", "0", "--out", "out/walk"])


def add_wan(folder: Path, command) -> None:
    """Small weights like Wan's, published and converted."""
    write_wan(folder)
    preset, wan = "configs/wan22_5b.py", "wan22_5b.safetensors"
    command(["convert", "wan", preset, "--from", "Wan2.2-TI2V-5B", "--to", wan])
    command(["convert", "codec", "Wan2.2_VAE.pth", "vae.safetensors"])
    (folder / "runs" / "wan22_5b").mkdir()
    shutil.copy(folder / wan, folder / "runs" / "wan22_5b" / "prior.safetensors")


def write_capture(folder: Path, room, pictures) -> None:
    """A rig as `cameras.json`, with a folder of pictures and of depth a camera.

    With depth of its own, since the small network in the package does not know rooms of noise.
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
