"""The report that a command leaves in its output folder."""

import json
import math
import os
import platform
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from full4d_jax.session.files import Arrays
from full4d_jax.session.stage_arrays import GENERATION, PLACE, STAGES
from full4d_jax.session.stages import Stages
from full4d_jax.session.versions import OURS, versions_of
from input_pipeline.whole_files import write_text

# The next verb towards a scene; grids without poses have no depth.
NEXT = {"sample": "lift", "lift": "render"}
SCORES = [
    key.removesuffix("?") for key, kind in STAGES["scene"].items() if kind == "score"
]
PACKAGES = (OURS, "jax", "jaxlib", "numpy", "av")


def write_report(
    stages: Stages,
    command: str,
    config: dict[str, Any] | None,
    *,
    checkpoint: str | None = None,
    distillation: str = "none",
    **options: Any,
) -> Path:
    """Write report.json and, where there is a config, config.json; return the folder.

    Args:
      stages: the folder, and what the command made there.
      command: its name.
      config: the experiment as plain values; None leaves config.json as it is.
      checkpoint: weights of the prior that it queried; None where it queried none.
      distillation: the form that ran.
      options: dataclasses of options, by name, to be listed in the report.
    """
    folder = stages.folder
    grid = stages.arrays["grid"]
    scene = stages.arrays.get("scene", {})
    scores = {name: round(float(scene[name]), 4) for name in SCORES if name in scene}
    usage = resource.getrusage(resource.RUSAGE_SELF)
    names = ("views", "instants", "rows", "columns")
    report = {
        "command": command,
        "seconds": {name: round(value, 2) for name, value in stages.seconds.items()},
        "seconds_in_all": round(time.perf_counter() - stages.started, 2),
        **dict(zip(names, grid["frames"].shape, strict=False)),
        **{name: score for name, score in scores.items() if math.isfinite(score)},
        **{key: str(scene[key]) for key in ("disagreement",) if key in scene},
        "peak_memory_gib": round(usage.ru_maxrss / 2**20, 2),
        "warnings": stages.warnings,
        "source": str(grid["note"]),
        "credit": str(grid.get("credit", "")),
        "place": {name: grid[name].tolist() for name in PLACE if name in grid},
        "way": type(options["source"]).__name__ if "source" in options else None,
        "checkpoint": checkpoint,
        **{name: grid[name].tolist() for name in GENERATION if name in grid},
        "distillation": distillation,
        "options": {name: asdict(value) for name, value in options.items()},
        "versions": versions_of(PACKAGES),
        "machine": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores, {platform.platform()}",
    }
    for name, content in (("report", report), ("config", config)):
        if content is not None:
            text = json.dumps(content, indent=2, default=str)
            write_text(folder / f"{name}.json", text + "\n")
    if checkpoint is not None:
        stages.say(
            f"prior: {checkpoint}{_generation_note(grid)}; distillation: {distillation}"
        )
    files = ", ".join(
        sorted(path.name for path in folder.iterdir() if path.name[0] != ".")
    )
    stages.say(f"{folder}: {files}")
    if command in NEXT and "intrinsics" in grid:
        stages.say(f"next: full4d {NEXT[command]} {folder}")
    elif (folder / "scene.html").exists():
        stages.say(f"open {folder / 'scene.html'} in a browser")
    else:
        stages.say(f"look at {folder / 'grid.png'}")
    return folder


def _generation_note(grid: Arrays) -> str:
    """Return how a prior completed a grid, for people; empty where none could."""
    if "generated_share" not in grid:
        return ""
    rows, columns, calls, share = (grid[name] for name in GENERATION)
    if calls == 0:
        return (
            ", skipped: the projected video leaves small holes, which push-pull fills"
        )
    return (
        f", frames of {columns}x{rows}, calls of the network: {calls}; of the completed "
        f"pixels {share:.1%} are generated, the others projected"
    )
