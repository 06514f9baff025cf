"""The folder of an evaluation.

    NAME.jsonl   a line a clip, written as soon as it is scored; the same command goes on behind it
    NAME.md      tables (`table.markdown`)
    NAME.json    the same for programs
    NAME.png     pictures; or for each of the first clips of a group GROUP-CLIP.png

The first line of NAME.jsonl says what was evaluated; a line that a kill cut short is dropped.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.evaluation.fidelity import ClipRows, Distances, score
from full4d_jax.evaluation.table import markdown, summary
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.media.pictures import contact_sheet, save_picture, to_uint8
from full4d_jax.session.errors import InputError, input_errors, tell
from full4d_jax.session.progress import Progress
from input_pipeline.plain_files import load_lines, require_layout
from input_pipeline.whole_files import open_to_append, write_text


class Group(NamedTuple):
    """Clips that are evaluated alike.

    Attributes:
      name: of the group.
      scenes: numbers of its clips.
      rows_of: makes those of the clips with some numbers, one clip after the other.
    """

    name: str
    scenes: Sequence[int]
    rows_of: Callable[[Sequence[int]], Iterator[ClipRows]]


def evaluate_groups(
    folder: Path,
    groups: Sequence[Group],
    distances: Distances,
    *,
    mark: str,
    shipped: str,
    preface: str,
) -> None:
    """Score the clips that have no record yet, and write the pages.

    Args:
      folder: for the results.
      groups: all clips.
      distances: compare pictures.
      mark: of everything that scores depend on.
      shipped: name of the row that the others are compared with.
      preface: head of the page, which says what was evaluated.

    Raises:
      InputError: the folder holds another evaluation.
    """
    path = folder / "scores.jsonl"
    records = open_lines(path, mark)
    shown_clips = 4  # of each group
    for group in groups:
        left = missing(records, group.name, group.scenes)
        if not left:
            continue
        with Progress(f"evaluate {group.name}", len(left)) as report:
            for done, clip in enumerate(group.rows_of(left), 1):
                if clip.scene in group.scenes[:shown_clips]:
                    picture = sheet({k: x[None] for k, x in clip.pictures.items()}, [""])
                    save_picture(folder / f"{group.name}-{clip.scene}.png", picture)
                append_line(path, score(clip, group.name, distances))
                report(done)
    asked = {group.name: set(group.scenes) for group in groups}
    # The file may hold scenes of other calls, such as those that weights were chosen by.
    records = [x for x in open_lines(path, mark) if x["scene"] in asked.get(x["group"], ())]
    preface = f"{preface} Weights and settings: `{mark}`."
    write_results(folder, "evaluation", records, preface, compared=(shipped,))


def open_lines(path: Path, mark: str) -> list[dict]:
    """Return the records that an earlier run of the same evaluation (the same `mark`) left.

    Raises:
      InputError: the file holds another evaluation, or a line that is none.
    """
    rows = []
    do = "give another folder as --out or delete the file"
    with input_errors("scores", do):
        rows = load_lines(path, dict) if path.is_file() else []
        for number, row in enumerate(rows[1:], 2):
            layout = {"group": str, "rows": [{"row": str, "depth": str}]}
            layout["scene"] = str if isinstance(row.get("scene"), str) else int
            require_layout(row, layout, f"{path}, line {number}")
    if not rows:
        write_text(path, json.dumps({"evaluation": mark}) + "\n")
        return []
    written_mark = rows[0].get("evaluation", "not from here")
    if written_mark != mark:
        found = f"an evaluation of other weights or settings ({written_mark})"
        raise InputError("scores", path, found, f"one of these ({mark})", do)
    if not path.read_bytes().endswith(b"\n"):
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return rows[1:]


def append_line(path: Path, record: dict) -> None:
    """Add a record to the file."""
    with os.fdopen(open_to_append(path), "a") as file:
        file.write(json.dumps(record) + "\n")


def missing(records: Sequence[dict], group: str, scenes: Iterable[int]) -> list[int]:
    """Return the scenes of a group that have no record yet."""
    done = {record["scene"] for record in records if record["group"] == group}
    return [scene for scene in scenes if scene not in done]


def write_results(
    folder: Path,
    name: str,
    records: Sequence[dict],
    preface: str,
    *,
    compared: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
    picture: UInt8[np.ndarray, "h w 3"] | None = None,
) -> dict[str, Any]:
    """Write NAME.json, NAME.md and NAME.png, each of them whole or not at all; print the page.

    Args:
      folder: for the results.
      name: of the files.
      records: of all clips.
      preface: head of the page.
      compared: names of the rows whose differences from baselines the page shows.
      about: further content of the JSON file.
      picture: NAME.png; None where the folder has other pictures.

    Returns:
      The content of the JSON file.
    """
    absent = {name: why for x in records for name, why in x.get("missing", {}).items()}
    found = [row["lpips"] for record in records for row in record["rows"] if "lpips" in row]
    if found and all(value is None for value in found):
        absent["LPIPS"] = f"it is not installed: {LPIPS_INSTALL}"
    result = summary(records) | {"clips": records, "missing": absent} | dict(about or {})
    page = markdown(records, preface, compared=compared, missing=absent)
    write_text(folder / f"{name}.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / f"{name}.md", page)
    if picture is not None:
        save_picture(folder / f"{name}.png", picture)
    tell(page)
    print(f"wrote {folder}/{name}.json, {name}.md and pictures")
    return result


def sheet(
    columns: Mapping[str, UInt8[np.ndarray, "n h w 3"] | Float[np.ndarray, "n h w 3"]],
    labels: Sequence[str],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw pictures in columns, those of [0, 1] as bytes; of many rows some, evenly spread."""
    widest_pixels = 4000
    pictures = [x if x.dtype == np.uint8 else to_uint8(x) for x in columns.values()]
    height, width = pictures[0].shape[1:3]
    rows = min(max(height, 128), 192, widest_pixels * height // (width * (len(columns) + 1)))
    most = widest_pixels // (rows + 20)
    drawn = np.unique(np.linspace(0, len(labels) - 1, min(most, len(labels))).round().astype(int))
    return contact_sheet(
        np.stack(pictures, 1)[drawn],
        rows=[str(labels[i]) for i in drawn],
        columns=list(columns),
        title="the last instant",
        cell_height=rows,
    )
