"""Check the clips of a dataset one after the other, with a page for each and one report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from full4d_jax.data.clip_page import clip_page
from full4d_jax.media.pictures import save_picture
from full4d_jax.session import errors, files, progress
from input_pipeline.checks import clip, recording
from input_pipeline.datasets.dataset import damaged_files, open_dataset
from input_pipeline.decoded_clip import decode_clip
from input_pipeline.schema import Example
from input_pipeline.selection import evenly
from input_pipeline.whole_files import whole_file

REPORT = "check.json"


def check_dataset(
    dataset: Path, out: Path, *, split: str, clips: int, instants: int
) -> None:
    """Check `clips` evenly spaced clips (0: all); print the problems and write them into `out`.

    There is `check.json`, and a PNG for each clip.

    Raises:
      InputError: no such dataset, or problems in it.
    """
    with errors.input_errors("dataset", "see full4d data check --help"):
        records = open_dataset(dataset, split)
    folder = files.hold_folder(out)
    problems = damaged_files(dataset)
    total = len(records)
    chosen = evenly(total, clips or total)
    summaries = []
    owners = {}
    for index in progress.watch("check", chosen):
        title, summary = _check(records, index, folder, instants, owners)
        summaries.append(summary)
        problems += [f"{title}: {line}" for line in summary["problems"]]
    with whole_file(folder / REPORT) as partial:
        partial.write_text(json.dumps({"clips": total, "checked": summaries}, indent=1))
    for line in problems:
        errors.log(f"problem: {line}")
    print(f"report: {out / REPORT}, pages: {out}/clip-*.png")
    if problems:
        found = f"{len(problems)} problems, the first: {problems[0]}"
        do = f"see {out / REPORT}"
        raise errors.InputError("dataset", dataset, found, "none", do)
    print(f"next: look at {out}/clip-*.png: the cameras must stand where they were")


def _check(
    records: Sequence[Example],
    index: int,
    folder: Path,
    instants: int,
    owners: dict[bytes, str],
) -> tuple[str, dict[str, Any]]:
    """Check a clip, print the verdict and draw its page; return its title and its entry."""
    try:
        example = records[index]
    except ValueError as error:
        return f"clip {index}", {"clip": index, "problems": [str(error)]}
    decoded = decode_clip(example, instants)
    checked = clip.check_clip(example, decoded)
    checked.problems.extend(_copies(example, owners))
    count = f"{len(checked.problems)} problems"
    title = f"clip {index}, {example.scene_id}"
    page = folder / f"clip-{index:05d}.png"
    shown = decoded.frames, decoded.instants
    save_picture(page, clip_page(example, *shown, f"{title}: {count}", checked.points))
    verdict = checked.notes[0] if checked.notes else "no problems"
    verdict = f"{count}, {checked.problems[0]}" if checked.problems else verdict
    errors.log(f"{title}: {verdict}")
    return title, _summary(index, example, checked) | {"page": page.name}


def _copies(example: Example, owners: dict[bytes, str]) -> list[str]:
    """Return a problem for each scene that shares pictures; `owners` gains those of this clip."""
    own = example.scene_id
    marks = {mark for row in recording.file_marks(example) for mark in row}
    others = {owners.setdefault(mark, own) for mark in marks} - {own}
    return [
        f"frames: found pictures of scene {name} again, expected other ones (splits cut by scene)"
        for name in sorted(others)
    ]


def _summary(index: int, example: Example, checked: clip.ClipCheck) -> dict:
    """Return the entry of a clip in the report; values that could not be measured are null."""
    views, frames = example.frames.shape
    return {
        "clip": index,
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "problems": checked.problems,
        "notes": checked.notes,
        "median_error_pixels": _known(checked.error),
        "pairs": [
            pair._asdict() | {"error": _known(pair.error)} for pair in checked.pairs
        ],
        "drift_seconds": checked.drift,
        "exposure_stops": [_known(value) for value in checked.stops],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
