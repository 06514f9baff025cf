"""Check the clips of a dataset one after the other, with a page for each and one report."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from full4d_jax.data.check_page import check_page, verdict
from full4d_jax.media.pictures import save_picture
from full4d_jax.session.errors import InputError, input_errors, tell
from full4d_jax.session.files import hold_folder
from full4d_jax.session.progress import Progress
from input_pipeline.checks.clip import ClipCheck, check_clip
from input_pipeline.checks.pictures import decode_pictures, file_marks
from input_pipeline.datasets.dataset import damaged_files, open_dataset
from input_pipeline.schema import Example
from input_pipeline.selection import evenly
from input_pipeline.whole_files import whole_file

REPORT = "check.json"


def check_dataset(
    dataset: Path,
    out: Path,
    *,
    split: str,
    clips: int,
    instants: int,
    up: tuple[float, float, float] | None = None,
) -> None:
    """Check `clips` evenly spaced clips (0: all), say what was found, and write it into `out`.

    Raises:
      InputError: impossible options, no such dataset, or problems in it.
    """
    for name, count, least in (("--clips", clips, 0), ("--instants", instants, 1)):
        if count < least:
            raise InputError("option", name, count, f"at least {least}", f"choose another {name}")
    if up is not None and not (np.isfinite(up).all() and np.any(up)):
        raise InputError("option", "--up", up, "a direction such as 0 0 1", "change it")
    with input_errors("dataset", "see full4d data check --help"):
        records = open_dataset(dataset, split)
    folder = hold_folder(out)
    problems = damaged_files(dataset)
    direction = None if up is None else np.array(up, np.float64)
    problems += check_records(records, folder, clips=clips, instants=instants, up=direction)
    for line in problems:
        tell(f"problem: {line}")
    print(f"report: {out / REPORT}, pages: {out}/clip-*.png")
    if problems:
        found = f"{len(problems)} problems, the first: {problems[0]}"
        raise InputError("dataset", dataset, found, "none", f"see {out / REPORT}")
    print(f"next: look at {out}/clip-*.png: the floor must lie flat in every view")


def check_records(
    records: Sequence[Example],
    out: Path,
    *,
    clips: int,
    instants: int,
    up: Float[np.ndarray, "3"] | None = None,
) -> list[str]:
    """Check `clips` evenly spaced clips (0: all), write `check.json` and a PNG for each.

    `up` in the world of the records is found where it is None.

    Returns:
      The problems, each with the clip that has it.
    """
    total = len(records)
    chosen = evenly(total, clips or total)
    told, problems, owners = [], [], {}
    with Progress("check", len(chosen)) as report:
        for done, index in enumerate(chosen, 1):
            try:
                example = records[index]
            except ValueError as error:
                problems.append(f"clip {index}: {error}")
                told.append({"clip": index, "problems": [str(error)]})
                report(done)
                continue
            decoded = decode_pictures(example, instants)
            found = check_clip(example, decoded)
            found.problems.extend(_copies(example, owners))
            title = f"clip {index}, {example.scene_id}"
            page = out / f"clip-{index:05d}.png"
            save_picture(page, check_page(example, decoded, found, title, up))
            tell(f"{title}: {verdict(found)}")
            told.append(_summary(index, example, found) | {"page": page.name})
            problems += [f"{title}: {line}" for line in found.problems]
            report(done)
    with whole_file(out / REPORT) as partial:
        partial.write_text(json.dumps({"clips": total, "checked": told}, indent=1))
    return problems


def _copies(example: Example, owners: dict[bytes, str]) -> list[str]:
    """Pictures that another scene has too; `owners` gains those of this clip."""
    marks = {mark for row in file_marks(example) for mark in row}
    others = {owners.setdefault(mark, example.scene_id) for mark in marks} - {example.scene_id}
    return [
        f"frames: found pictures of scene {name} again, expected other ones (splits cut by scene)"
        for name in sorted(others)
    ]


def _summary(index: int, example: Example, found: ClipCheck) -> dict:
    """JSON has no NaN: what could not be measured is null."""
    views, frames = example.frames.shape
    return {
        "clip": index,
        "scene": example.scene_id,
        "views": views,
        "frames": frames,
        "problems": found.problems,
        "notes": found.notes,
        "median_error_pixels": _known(found.error),
        "pairs": [pair._asdict() | {"error": _known(pair.error)} for pair in found.pairs],
        "drift_seconds": found.drift,
        "exposure_stops": [_known(value) for value in found.stops],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
