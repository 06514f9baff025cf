"""Fits rigs without depth by the documented commands alone, and scores what no fit saw.

    python benchmarks/rigs.py object|photos|fox|fox_instants|walker [--steps N] [--gaussians N]

`object` draws the running fox at one instant before a white background, from 40 cameras on a
sphere; `photos` are fox_photos; `fox` is the fox running, 24 instants of 8 cameras around it, with
one camera or (`fox_instants`) one instant in eight held out; `walker` is pose2sim. The data are
read from the folder FULL4D_DATA. Each command writes OUT/NAME.set and OUT/NAME.scene. The last line
is JSON: PSNR of held-out and fitted pictures, seconds elapsed since the fit began and CPU seconds
of the command, memory, and the curve: elapsed and CPU seconds and held-out PSNR at each report.
docs/fitting.md has the numbers.
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import captures
import cv2
import jax.numpy as jnp
import numpy as np
import psutil
from numpy import ndarray
from shared_folder import shared_folder

from full4d_jax.media.pictures import to_uint8
from input_pipeline.cameras import intrinsics_from_fov, invert, orbit
from input_pipeline.procedural.gltf_mesh import load_skinned_mesh
from input_pipeline.procedural.gltf_scene import cast_rays, standing_triangles

CAMERAS, SIDE, FOV, DISTANCE = 40, 200, 32.0, 1.3  # of the object: pixels, degrees, and its unit
WHITE = (1.0, 1.0, 1.0)
INSTANTS = 24
CUTS = {  # how each is imported
    "object": [],
    "photos": ["--size", "72"],
    "fox": [],
    "fox_instants": [],
    "walker": ["--size", "72", "--stride", "2", "--instants", "20:68", "--frames", "24"],
}
HELD_OUT = {"fox_instants": ["--held_out", "instants"]}


def main() -> None:
    """Imports, fits and scores one rig."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("rig", choices=CUTS)
    parser.add_argument("--out", type=Path, default=Path("out/rigs"))
    parser.add_argument("--steps", type=int, default=0, help="0 is what full4d lift takes")
    parser.add_argument("--gaussians", type=int, default=0, help="likewise")
    options = parser.parse_args()
    data, out, name = shared_folder() / "data", options.out, options.rig
    if not data.is_dir():
        raise SystemExit(f"{data} is not a folder: set FULL4D_DATA to the one that has data/")
    try:
        capture = find_capture(name, data, out)
    except (OSError, ValueError) as error:  # what is missing there, or damaged
        raise SystemExit(f"{name}: {error}") from error
    dataset, scene = out / f"{name}.set", f"{name}.scene"
    for old in (dataset, out / scene):
        shutil.rmtree(old, ignore_errors=True)
    full4d("data", "import", capture, "--out", dataset, *CUTS[name])
    fitting = [dataset, "--out", out / scene, *HELD_OUT.get(name, [])]
    fitting += ["--lift.steps", options.steps, "--lift.capacity", options.gaussians]
    before = children_seconds()
    curve = full4d("lift", *fitting)
    spent = {"seconds": round(curve[-1][0], 1), "cpu_seconds": children_seconds() - before}
    report = json.loads((out / scene / "report.json").read_text())
    names = ("held_out_psnr", "fitted_psnr", "views", "instants", "rows", "columns")
    result = {key: report.get(key) for key in (*names, "peak_memory_gib")}
    print(json.dumps({name: {**result, **spent, "curve": curve}}))


def children_seconds() -> float:
    """Return the CPU time of all threads of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return round(used.ru_utime + used.ru_stime, 1)


def full4d(*words: object) -> list[tuple[float, float, float]]:
    """Run a command, show what it says, and return elapsed and CPU seconds and held-out PSNR."""
    command = [sys.executable, "-m", "full4d_jax.cli", *map(str, words)]
    curve, begun = [], 0.0
    with subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        process = psutil.Process(running.pid)
        for line in map(bytes.decode, running.stdout):
            print(line, end="", flush=True)
            begun = begun or time.perf_counter() * line.startswith("scene ...")
            if match := re.search(r"held_out_psnr ([\d.]+)", line):
                used = process.cpu_times()
                seconds = time.perf_counter() - begun, used.user + used.system
                curve.append((*(round(x, 1) for x in seconds), float(match[1])))
    if running.returncode:
        raise SystemExit(f"full4d {words[0]} ended with {running.returncode}")
    return curve


def find_capture(name: str, data: Path, out: Path) -> Path:
    """Return the folder of a capture, drawn where nobody filmed it."""
    if name in ("photos", "walker"):
        return data / {"photos": "fox_photos", "walker": "pose2sim"}[name]
    asset, folder = data / "gltf" / "Fox.glb", out / "object"
    if name == "object":
        return folder if folder.exists() else write_object(asset, folder)
    folder = out / "fox"
    return folder if folder.exists() else write_fox(data, folder)


def write_object(asset: Path, folder: Path) -> Path:
    """Draw the asset at one instant, from all sides."""
    mesh, numbers = load_skinned_mesh(asset), np.arange(CAMERAS)
    to_opencv = np.array([1, -1, -1], np.float32)
    triangles = standing_triangles(mesh, "Run", np.array([0.2]))[0] * to_opencv
    triangles -= (triangles.reshape(-1, 3).min(0) + triangles.reshape(-1, 3).max(0)) / 2
    azimuths, elevations = numbers * 360 * 0.381966, -50 + 125 * (numbers * 0.618034 % 1)
    poses = orbit(azimuths, elevations, DISTANCE, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(FOV, SIDE, SIDE)
    surface = jnp.asarray(mesh.texcoords[mesh.triangles], jnp.float32), jnp.asarray(mesh.texture)
    views = [(invert(pose).astype(np.float32), lens.astype(np.float32)) for pose in poses]
    shape = jnp.asarray(triangles), *surface
    drawn = [cast_rays(*shape, *map(jnp.asarray, v), SIDE, SIDE, jnp.array(WHITE)) for v in views]
    frames = np.stack([np.asarray(picture)[None] for picture, _ in drawn])
    return write_rig(folder, frames, np.stack([lens] * CAMERAS), poses)


def write_fox(data: Path, folder: Path) -> Path:
    """Draw the running fox from the eight cameras around it."""
    clip = captures.fox(data, 64, INSTANTS)
    return write_rig(folder, clip.frames[:8], clip.intrinsics[:8], clip.world_to_camera[:8, 0])


def write_rig(folder: Path, frames: ndarray, intrinsics: ndarray, poses: ndarray) -> Path:
    """Write `cameras.json` and a folder of pictures for each camera."""
    cameras = []
    for i, (film, lens, pose) in enumerate(zip(to_uint8(frames), intrinsics, poses, strict=True)):
        (folder / f"cam{i:02d}").mkdir(parents=True)
        for j, picture in enumerate(film):
            cv2.imwrite(str(folder / f"cam{i:02d}" / f"{j:03d}.png"), picture[..., ::-1])
        matrices = {"intrinsics": lens.tolist(), "world_to_camera": pose.tolist()}
        cameras.append({"name": f"cam{i:02d}", **matrices})
    (folder / "cameras.json").write_text(json.dumps({"cameras": cameras}))
    return folder


if __name__ == "__main__":
    main()
