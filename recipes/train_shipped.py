"""Trains the networks that ship, one after the other, within a time limit, and goes on later.

    python recipes/train_shipped.py --minutes 27 --photos PHOTOS --videos VIDEOS --out OUT

Stages are the depth network, the prior (rows 96 x 128, rich worlds, our own depth, ordinary
videos), and the upsampler that follows this prior. Each has its share of the minutes; a stage that
is done leaves its time to the next. A stage that runs out of time saves and stops, and the same
command with the same `--out` goes on.

The last line is JSON: for each stage its steps, its loss and whether it is done. Sizes of batches
are for one GPU of 80 GB; `--small` is for trying it on any machine.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import tyro

# Seconds to save in.
GRACE = 90
# What `timeout` gives back.
TIME_OVER = 124
KILLED = 137
PACKAGED = Path(__file__).resolve().parents[1] / "full4d_jax" / "weights"


class Stage(NamedTuple):
    """A training: its name, its share of the time, and the words of its command."""

    name: str
    share: float
    words: tuple[str, ...]
    small: tuple[str, ...]


def stages(photos: Path, videos: Path, out: Path) -> tuple[Stage, ...]:
    """Return the three trainings; the last two follow what was trained before."""
    pictures = ("--photos", str(photos), "--videos", str(videos))
    tiny = ["--training.steps", "2", "--training.checkpoint-every", "1"]
    tiny += ["--training.log-every", "1"]
    depth = script("train_depth"), "--init", str(PACKAGED / "depth.safetensors")
    depth += "--seed", "10", *pictures
    size = "--data.height", "96", "--data.width", "128", "--data.worlds", "rich"
    prior = (
        "-m",
        "full4d_jax",
        "train",
        "--init",
        str(PACKAGED / "prior.safetensors"),
    )
    prior += "--seed", "10", *size, "--data.videos", str(videos)
    prior += (
        "--data.pseudo",
        "0.3",
        "--data.estimated",
        "0.3",
        "--flow.perceptual",
        "0.2",
    )
    upsampler = (
        script("train_upsampler"),
        "--prior",
        str(out / "prior" / "prior.safetensors"),
    )
    upsampler += "--seed", "10", *pictures, "--prior_rows", "96"
    one = "--training.batch", "1", *tiny
    tries = {"depth": one, "prior": ("--flow.perceptual", "0", *one)}
    tries["upsampler"] = "--pool", "2", "--perceptual", "0", *tiny

    def stage(
        name: str, share: float, words: tuple[str, ...], batch: int, steps: int
    ) -> Stage:
        length = "--training.batch", str(batch), "--training.steps", str(steps)
        return Stage(name, share, (*words, *length), (*words, *tries[name]))

    return (
        stage("depth", 0.5, depth, 8, 40_000),
        stage("prior", 0.3, prior, 32, 20_000),
        stage("upsampler", 0.2, upsampler, 64, 20_000),
    )


def script(name: str) -> str:
    """Return the path of a recipe beside this file."""
    return str(Path(__file__).with_name(f"{name}.py"))


def main(
    minutes: float,
    photos: Path,
    videos: Path,
    out: Path = Path("runs/shipped"),
    small: bool = False,
) -> None:
    """Train the networks that ship, in parts, and print the JSON line.

    Args:
      minutes: time for all of it.
      photos: folder of photographs.
      videos: folder of videos.
      out: folder.
      small: two steps each, to try it.
    """
    for name, folder in (("photos", photos), ("videos", videos)):
        if not folder.is_dir():
            raise SystemExit(f"--{name}: found no folder {folder}, expected one")
    if minutes <= 0:
        raise SystemExit(f"--minutes: found {minutes}, expected more than 0")
    end = time.monotonic() + 60 * minutes
    progress_by_stage = {}
    left = 1.0
    for stage in stages(photos.resolve(), videos.resolve(), out.resolve()):
        seconds = (end - time.monotonic()) * stage.share / left
        left -= stage.share
        folder = out / stage.name
        weights = folder / f"{stage.name}.safetensors"
        if not weights.is_file() and seconds > 0:
            train(stage, folder, seconds, small=small)
        progress_by_stage[stage.name] = progress(folder) | {"done": weights.is_file()}
        # The stages after it follow its weights.
        if not weights.is_file():
            break
    print("next: run the same command again to resume")
    print(json.dumps(progress_by_stage))


def train(stage: Stage, folder: Path, seconds: float, *, small: bool) -> None:
    """Train for some seconds; a run that is not done then saves and stops.

    Raises:
      SystemExit: the training failed.
    """
    command = [
        sys.executable,
        *(stage.small if small else stage.words),
        "--out",
        str(folder),
    ]
    print(f"{stage.name}: {seconds / 60:.1f} minutes", flush=True)
    # One that compiles cannot save: what was saved before stays.
    limit = ["timeout", "--kill-after", str(GRACE), str(seconds)]
    code = subprocess.run([*limit, *command], check=False).returncode
    if code not in (0, TIME_OVER, KILLED):
        raise SystemExit(
            f"{stage.name}: found exit code {code}, expected 0; see the lines above"
        )


def progress(folder: Path) -> dict[str, float]:
    """Return step and loss of the last line of a run's metrics."""
    lines = (
        (folder / "metrics.jsonl").read_text().splitlines() if folder.is_dir() else []
    )
    entries = [json.loads(line) for line in lines]
    losses = [entry for entry in entries if "loss" in entry]
    return {name: losses[-1][name] for name in ("step", "loss")} if losses else {}


if __name__ == "__main__":
    tyro.cli(main)
