"""Makes 4D scenes of real videos, prints how well they show them, and draws them from aside.

    python benchmarks/real_videos.py [--page [moving] | --clips NAME ...] --out OUT

Every clip of the folder that FULL4D_DATA names goes through `full4d run` with default options, in a
process of its own; a clip whose folder is finished is not run again. A line tells its scores, those
of `full4d_jax.scene.quality` in report.json, and `OUT/CLIP.png` shows the fitted scene at its full
size from -15 to 15 degrees beside the camera of that instant, next to the frame: before a camera at
rest at two instants, the middle one and the one with most motion, before one that moves at three.
The scores are of the source camera: nobody filmed the other angles, so these are for the eye alone.

Default of `--clips`: those at rest that no training read and by which nobody chose a setting; `all`
takes every one. `--page` takes six of all kinds at rest, `--page moving` six before cameras that
move, and draws them on one page as well; the line of each says what it was used for.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import shared_folder
from jaxtyping import Int, UInt8
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.image_motion import moving_pixels
from full4d_jax.media.pictures import PAPER, contact_sheet, save_picture
from full4d_jax.scene.quality import MOVING_LEVELS
from full4d_jax.scene.renders import pictures_along, scene_renderer
from full4d_jax.scene.scene_reader import background_in, from_arrays
from full4d_jax.session.files import Arrays, read_arrays
from full4d_jax.source.camera_paths import beside_source, pivot_of, up_of
from gaussians.fitting.stillness import camera_moves
from input_pipeline.media_files import VIDEOS, listed, training_clips
from input_pipeline.pinhole import orbit

# Degrees to the sides from the source camera of an instant, where it rests and where it moves.
RESTING_ANGLES = (-15, -10, -5, 0, 5, 10, 15)
MOVING_ANGLES = (-15, -10, 0, 10, 15)
SCORES = (
    "source_psnr",
    "moving_psnr",
    "moving_psnr_worst",
    "moving_psnr_between",
    "sharpness",
    "straightness",
)
SECONDS = "seconds_in_all"
COLUMNS = (*SCORES, SECONDS)
FOLDERS = ("real_videos", "videos", "moving_videos")


class Clip(NamedTuple):
    """A clip, and where it starts, in seconds; None takes the start that is found."""

    name: str
    start: float | None = None


# Every fifth by name, which no training reads, without those that move and those in `CHOSE`.
UNUSED = tuple(
    Clip(name)
    for name in (
        "intel_asl_gestures_sorry",
        "intel_preview_face-demographics-walking",
    )
)
# Two people in a shop, a portrait video of squats, a man in a hall, a woman outdoors, two people
# who come near, and a machine.
RESTING_PAGE = (
    Clip("intel_preview_store-aisle-detection", 2.0),
    Clip("tfjs_pose_squats", 3.5),
    Clip("intel_preview_worker-zone-detection", 0.0),
    Clip("sports2d_demo", 5.0),
    Clip("intel_preview_face-demographics-walking", 0.0),
    Clip("sleap_small_robot", 1.0),
)
# A dog on a lawn, two people in a wood, people on bicycles, a motorway, a boy in a bowl, and a dog
# that pulls a board. By the last three nobody chose a setting.
MOVING_PAGE = (
    Clip("vipe_dog"),
    Clip("edgetam_12_hideandseek"),
    Clip("bikes"),
    Clip("edgetam_08_driving"),
    Clip("edgetam_03_skateboarder"),
    Clip("edgetam_22_dogskateboarder"),
)
PAGES = {"rest": RESTING_PAGE, "moving": MOVING_PAGE}
# By these, settings of depth, of cameras' paths, of upright people and of the fit were chosen, or
# looked at meanwhile.
CHOSE = (
    "intel_asl_gestures_eat",
    "intel_asl_gestures_learn",
    "intel_asl_gestures_night",
    "intel_asl_gestures_no",
    "intel_bottle-detection",
    "intel_car-detection_1",
    "intel_one-by-one-person-detection_0",
    "intel_one-by-one-person-detection_1",
    "intel_preview_classroom",
    "intel_preview_person-bicycle-car-detection",
    "intel_preview_store-aisle-detection",
    "intel_preview_worker-zone-detection",
    "mdn_flower",
    "bikes",
    "edgetam_12_hideandseek",
    "edgetam_21_biker",
    "pe_train",
    "recammaster_4",
    "sleap_small_robot",
    "sports2d_demo",
    "tfjs_pose_1",
    "tfjs_pose_squats",
    "vipe_dog",
)


def main() -> None:
    """Run clip after clip, print its line, draw it; print the JSON line."""
    options = parse()
    files = clip_files(shared_folder() / "data")
    clips = chosen_clips(options, files)
    trained = {
        path.stem for path in training_clips(shared_folder() / "data" / FOLDERS[0])
    }
    options.out.mkdir(parents=True, exist_ok=True)
    reports = []
    sheets = []
    print(" ".join(f"{name:>19}" for name in COLUMNS), " clip")
    for clip in clips:
        folder = options.out / clip.name
        reports.append(run_clip(clip, files[clip.name], folder, options.options))
        print(
            score_line(reports[-1]),
            f" {clip.name}, {use_of(clip.name, trained)}",
            flush=True,
        )
        sheet = draw(folder, clip.name)
        save_picture(options.out / f"{clip.name}.png", sheet)
        sheets.append(sheet)
    if options.page:
        save_picture(options.out / "page.png", stack(sheets))
    print(f"pictures: {options.out}")
    print(json.dumps({"clips": len(reports)} | medians(reports)))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--clips", nargs="+", help="names of clips, or all")
    which.add_argument(
        "--page", nargs="?", const="rest", choices=PAGES, help="six clips on one page"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/real_videos"), help="folder"
    )
    rest = "all that follows goes to full4d run"
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help=rest)
    return parser.parse_args()


def clip_files(data: Path) -> dict[str, Path]:
    """Return the folder's clips by name.

    Raises:
      SystemExit: There is none.
    """
    files = [file for folder in FOLDERS for file in listed(data / folder, VIDEOS)]
    if not files:
        raise SystemExit(
            f"FULL4D_DATA: found no clip in {data}, expected {' or '.join(FOLDERS)}"
        )
    return {file.stem: file for file in files}


def chosen_clips(options: argparse.Namespace, files: dict[str, Path]) -> list[Clip]:
    """Return the clips that the options name.

    Raises:
      SystemExit: One is not there.
    """
    clips = list(PAGES.get(options.page, UNUSED))
    if options.clips is not None:
        names = list(files) if options.clips == ["all"] else options.clips
        clips = [Clip(name) for name in names]
    for clip in clips:
        if clip.name not in files:
            raise SystemExit(
                f"--clips: found {clip.name}, expected one of {', '.join(files)}"
            )
    return clips


def use_of(name: str, trained: set[str]) -> str:
    """Return what a clip was used for before it was scored here."""
    uses = ["training"] * (name in trained) + ["choosing settings"] * (name in CHOSE)
    return f"used for {' and '.join(uses)}" if uses else "not used before"


def run_clip(
    clip: Clip, file: Path, folder: Path, more: Sequence[str]
) -> dict[str, float]:
    """Run `full4d run` in a process of its own, unless the folder is finished; return the report.

    Raises:
      SystemExit: It failed.
    """
    report = folder / "report.json"
    if not report.exists():
        words = ["run", str(file), "--out", str(folder), *more]
        if clip.start is not None:
            words += ["--start", f"{clip.start:g}"]
        folder.mkdir(parents=True, exist_ok=True)
        run_full4d(words, folder / "run.log")
    return json.loads(report.read_text())


def run_full4d(words: Sequence[str], log: Path) -> None:
    """Run a command of full4d in a process of its own, which writes to a log.

    Raises:
      SystemExit: It failed.
    """
    with log.open("w") as output:
        command = [sys.executable, "-m", "full4d_jax", *words]
        code = subprocess.run(
            command, stdout=output, stderr=output, check=False
        ).returncode
    if code != 0:
        last = log.read_text().strip().rpartition("\n")[2]
        raise SystemExit(f"{log}: full4d {words[0]} left with {code}: {last}")


def score_line(report: dict[str, float]) -> str:
    """Return a clip's scores in columns; a dash where one has no meaning."""
    return " ".join(
        f"{report[x]:19.4g}" if x in report else f"{'-':>19}" for x in COLUMNS
    )


def medians(reports: Sequence[dict[str, float]]) -> dict[str, float | None]:
    """Return the median of each score over the clips that have it; None where none has."""
    by_name = {name: [x[name] for x in reports if name in x] for name in COLUMNS}
    return {
        name: round(float(np.median(x)), 4) if x else None
        for name, x in by_name.items()
    }


def two_instants(frames: UInt8[ndarray, "t h w 3"]) -> Int[ndarray, "2"]:
    """Return the middle instant and another one, the one with most motion."""
    middle = len(frames) // 2
    motion = moving_pixels(frames, MOVING_LEVELS).mean((1, 2))
    motion[middle] = -math.inf
    return np.array([middle, int(motion.argmax())])


def three_instants(count: int) -> Int[ndarray, "3"]:
    """Return an early, the middle and a late one of so many instants."""
    margin = count // 8
    return np.array([margin, count // 2, count - 1 - margin])


def draw(folder: Path, title: str) -> UInt8[ndarray, "H W 3"]:
    """Return the picture of a clip: a row for each instant.

    Raises:
      SystemExit: The folder holds no finished run.
    """
    arrays = finished(folder)
    grid = arrays["grid"]
    frames = grid["frames"][0]
    cameras = Cameras(grid["intrinsics"], grid["world_to_camera"], *frames.shape[1:3])
    moves = camera_moves(grid["world_to_camera"][0])
    instants = three_instants(len(frames)) if moves else two_instants(frames)
    angles = MOVING_ANGLES if moves else RESTING_ANGLES
    rows = [f"{arrays['source']['times'][instant]:.2f} s" for instant in instants]
    columns = [
        "frame",
        *(f"{angle:+d}°" if angle else "source camera, 0°" for angle in angles),
    ]
    pictures = [
        [frames[instant], *seen_from_aside(arrays["scene"], cameras, instant, angles)]
        for instant in instants
    ]
    height = frames.shape[1]
    return contact_sheet(
        np.asarray(pictures),
        rows=rows,
        columns=columns,
        title=title,
        cell_height=height,
    )


def finished(folder: Path) -> dict[str, Arrays]:
    """Return the arrays of a finished run's stages.

    Raises:
      SystemExit: The folder holds none.
    """
    stages = {
        name: read_arrays(folder / f"{name}.npz")
        for name in ("source", "grid", "scene")
    }
    if not all(stages.values()):
        raise SystemExit(
            f"{folder}: found no finished run, expected source, grid and scene"
        )
    return stages


def seen_from_aside(
    scene: Arrays, cameras: Cameras, instant: int, angles: Sequence[int]
) -> list[UInt8[ndarray, "h w 3"]]:
    """Return the scene at an instant from angles beside the source camera of that instant.

    Args:
      scene: what the stage `scene` saved.
      cameras: of the grid, whose first view is the source.
      instant: a number of the grid's instants.
      angles: degrees to the right.
    """
    path = np.asarray(cameras.world_to_camera)
    poses_beside = beside_source(path)
    pivot = pivot_of(poses_beside)
    level = np.zeros(len(angles))
    turns = orbit(
        np.array(angles, float), level, pivot[2], tuple(pivot), up_of(poses_beside)
    )
    poses = (turns @ path[0, instant]).astype(np.float32)[None]
    around = Cameras(
        np.asarray(cameras.intrinsics[:1]), poses, cameras.height, cameras.width
    )
    time = float(instant / max(1, path.shape[1] - 1))
    renderer = scene_renderer(from_arrays(scene), around, background_in(scene))
    return list(pictures_along(renderer, around, [time] * len(angles)))


def stack(sheets: Sequence[UInt8[ndarray, "_ _ 3"]]) -> UInt8[ndarray, "H W 3"]:
    """Return pictures one above the other, at the left."""
    height = sum(len(sheet) for sheet in sheets)
    width = max(sheet.shape[1] for sheet in sheets)
    page = np.full((height, width, 3), PAPER, np.uint8)
    top = 0
    for sheet in sheets:
        page[top : top + len(sheet), : sheet.shape[1]] = sheet
        top += len(sheet)
    return page


if __name__ == "__main__":
    main()
