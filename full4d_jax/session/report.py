"""One command at work in one output folder, and the report it leaves there."""

import json
import math
import os
import platform
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax

from full4d_jax.session.files import Arrays
from full4d_jax.session.stages import PLACE, Stages
from full4d_jax.session.versions import OURS, versions_of
from input_pipeline.whole_files import write_text

NEXT = {"sample": "lift", "lift": "render"}  # towards a scene; grids without poses have no depth
SCORES = (
    "source_psnr",
    "moving_psnr",
    "moving_psnr_worst",
    "moving_psnr_worst_at",
    "moving_psnr_between",
    "sharpness",
    "straightness",
    "straightness_worst_at",
    "fitted_psnr",
    "held_out_psnr",
    "color_disagreement",
    "place_disagreement",
)
PACKAGES = (OURS, "jax", "jaxlib", "numpy", "av")


@dataclass
class Job:
    """One command at work in one output folder.

    Attributes:
      stages: the folder and its finished stages.
      started: `time.perf_counter()` at the start.
    """

    stages: Stages
    started: float = field(default_factory=time.perf_counter)


def _size(arrays: Mapping[str, Arrays]) -> dict[str, int]:
    if "grid" not in arrays:
        return {}
    names = ("views", "instants", "rows", "columns")
    return dict(zip(names, arrays["grid"]["frames"].shape[:4], strict=True))


def _scores(arrays: Mapping[str, Arrays]) -> dict[str, float]:
    """Return how well the scene shows the source, where it is made; `SCORES` that have a meaning.

    `scene.quality` says what they measure.
    """
    scene = arrays.get("scene", {})
    scores = {name: float(scene[name]) for name in SCORES if name in scene}
    return {name: round(score, 4) for name, score in scores.items() if math.isfinite(score)}


def _words(arrays: Mapping[str, Arrays]) -> dict[str, str]:
    """Return in words how far the views of a scene disagree, where they were asked."""
    scene = arrays.get("scene", {})
    return {"disagreement": str(scene["disagreement"])} if "disagreement" in scene else {}


def write_report(
    job: Job,
    command: str,
    config: dict[str, Any] | None,
    *,
    checkpoint: Path | str | None = None,
    **options: Any,
) -> Path:
    """Write report.json and, where there is a config, config.json; return the folder.

    Args:
      job: the command at work.
      command: its name.
      config: the experiment as plain values; None leaves config.json as it is.
      checkpoint: weights of the prior that it asked, or "shipped"; None where it asked none.
      options: dataclasses of options, by name, to be listed in the report.
    """
    folder = job.stages.folder
    grid = job.stages.arrays["grid"]
    source_class = type(options["source"]).__name__ if "source" in options else None
    report = {
        "command": command,
        "seconds": {name: round(value, 2) for name, value in job.stages.seconds.items()},
        "seconds_in_all": round(time.perf_counter() - job.started, 2),
        **_size(job.stages.arrays),
        **_scores(job.stages.arrays),
        **_words(job.stages.arrays),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "warnings": job.stages.warnings,
        "source": str(grid["note"]),
        "place": {name: grid[name].tolist() for name in PLACE if name in grid},
        "way": source_class,
        "checkpoint": checkpoint,
        "options": {name: asdict(value) for name, value in options.items()},
        "versions": versions_of(PACKAGES),
        "machine": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, {platform.platform()}",
    }
    for name, content in (("report", report), ("config", config)):
        if content is not None:
            text = json.dumps(content, indent=2, default=str)
            write_text(folder / f"{name}.json", text + "\n")
    files = ", ".join(sorted(path.name for path in folder.iterdir() if path.name[0] != "."))
    job.stages.say(f"{folder}: {files}")
    if command in NEXT and "intrinsics" in grid:
        job.stages.say(f"next: full4d {NEXT[command]} {folder}")
    elif (folder / "scene.html").exists():
        job.stages.say(f"open {folder / 'scene.html'} in a browser")
    else:
        job.stages.say(f"look at {folder / 'grid.png'}")
    return folder
