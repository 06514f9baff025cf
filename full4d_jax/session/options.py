"""What `run`, `sample`, `lift` and `render` take beside the config, as options."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from full4d_jax.session.errors import InputError


@dataclass(frozen=True)
class Shot:
    """The video, its camera, and where the target cameras stand."""

    video: Path | None = None
    """The video; without it and --dataset, a held-out procedural clip is made."""
    dataset: Path | None = None
    """In place of a video, one view of a dataset's clip; its other cameras are the targets."""
    split: str = "train"
    """Of the dataset."""
    clip: int = 0
    """Its number in the split."""
    view: int = 0
    """Which of its views is the source."""
    scene: int = 3
    """Which held-out procedural clip, without a video; 3 shows someone walking in a room."""
    start: float = 0.0
    """Seconds into the video."""
    fps: float | None = None
    """Frames a second to take; left out 6, or what spreads the frames over a shorter clip; of a
    dataset 6, or all."""
    fov: float | None = None
    """Horizontal field of view of the upright video in degrees, before it is cropped; left out,
    the cropped picture is taken to see 55 degrees."""
    depth: Path | None = None
    """Depth of the video, .npy (t, h, w), 0 = unknown; left out, our network estimates it."""
    depth_checkpoint: Path | None = None
    """Weights of the depth network; left out, those in the package."""
    checkpoint: Path | None = None
    """Weights of the prior; left out, those in the package."""
    path: str = "arc"
    """Target cameras: arc, ring, spiral or a JSON file (see the README)."""
    azimuth: float = 30.0
    """How far a preset path goes to the sides, degrees."""
    elevation: float = 8.0
    """How far ring and spiral go up and down, degrees."""
    fixed_view: Path | None = None
    """Without poses (configs/four_real.py): a video whose camera stands still, the first row."""
    freeze_time: Path | None = None
    """Without poses: a video of the same scene, frozen, from a moving camera, the first column."""


@dataclass(frozen=True)
class Look:
    """How the finished scene is shown."""

    size: int = 256
    """Rows of the rendered videos, pixels."""
    seconds: float = 4.0
    """Length of the rendered videos."""
    orbit: Literal["arc", "ring", "spiral"] = "ring"
    """Path of the camera in orbit.mp4 and bullet.mp4."""
    sweep: float = 20.0
    """How far that path goes to the sides, degrees."""
    export_ply: int = 0
    """Write this many instants of the scene as 3DGS files, ply/0000.ply and so on."""


GRID_OPTIONS = ("fixed_view", "freeze_time")
SHARED_OPTIONS = ("scene", "start", "fps", "checkpoint")
OF_DATASETS = ("split", "clip", "view")
BESIDE_DATASETS = (*OF_DATASETS, "dataset", "start", "fps", "checkpoint")


def check_task(projection: str, shot: Shot) -> None:
    """Refuse options that a model with or without poses would not read.

    Raises:
      InputError: naming the option.
    """
    for field in fields(shot):
        name, value = field.name, getattr(shot, field.name)
        fits = name in SHARED_OPTIONS or (name in GRID_OPTIONS) == (projection == "none")
        if not fits and value != field.default:
            expected = f"none, with model.projection = {projection}"
            do = "leave it out, or give another CONFIG"
            raise InputError("option", f"--{name}", value, expected, do)


def check(shot: Shot, look: Look) -> None:
    """Refuse numbers that no stage could use.

    Raises:
      InputError: naming the option.
    """
    bounds = {
        "--scene": (shot.scene, 0, 2**30 - 1),
        "--clip": (shot.clip, 0, 2**31),
        "--view": (shot.view, 0, 2**31),
        "--start": (shot.start, 0, 1e6),
        "--fps": (shot.fps, 1e-3, 1000),
        "--fov": (shot.fov, 1, 170),
        "--azimuth": (shot.azimuth, 0, 180),
        "--elevation": (shot.elevation, 0, 85),
        "--size": (look.size, 16, 4096),
        "--seconds": (look.seconds, 0.1, 600),
        "--sweep": (look.sweep, 0, 180),
        "--export_ply": (look.export_ply, 0, 10_000),
    }
    for name, (value, low, high) in bounds.items():
        if value is not None:
            check_range(name, value, low, high)
    for field in fields(shot):
        name, value = field.name, getattr(shot, field.name)
        fits = name in BESIDE_DATASETS if shot.dataset else name not in OF_DATASETS
        if not fits and value != field.default:
            expected = "none, with --dataset" if shot.dataset else "a --dataset beside it"
            do = "leave one of them out" if shot.dataset else "add it, or leave this out"
            raise InputError("option", f"--{name}", value, expected, do)


def check_range(name: str, value: int | float, low: int | float, high: int | float) -> None:
    """Refuse the value of an option beyond its range; raises InputError."""
    if not low <= value <= high:
        do = "give a value in that range"
        raise InputError("option", name, value, f"{low} to {high}", do)


def check_ending(target: Path, ending: str) -> None:
    """Refuse a file to write that has another ending; raises InputError."""
    if target.suffix != ending:
        do = "give another name"
        raise InputError("target", target, target.suffix or "no suffix", ending, do)
