"""Means, paired differences and Markdown tables of the scores of single clips, by numpy.

A record is what an evaluation appends for one clip, one line of JSON:

    {"group": "held-out", "scene": 3, "hole_fraction": 0.41, "moving_fraction": 0.02,
     "rows": [{"row": "copy the source", "depth": "none", "psnr": 15.2, ...}, ...]}

Differences pair by scene, over the scenes that have both rows. What does not exist (no unseen
pixel, no LPIPS) is null. An estimate is a mean over scenes with its standard error:

    {"mean": 15.2, "error": 0.4, "scenes": 12}
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

# Scores as people write them, and the format of their numbers. Those of the second kind need no
# truth, and get a line each.
TRUE_HEADS = {
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "lpips_vgg": ("LPIPS (VGG)", ".3f"),
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
COPY = "copy the source"
INPAINT = "projection + cv2.inpaint (Telea)"
PUSH_PULL = "projection + push-pull"
GRID = "generated grid"
SCENE = "4D Gaussians"
CASCADE = "cascade"
NEAREST = "copy the nearest given frame"
CHANGE = "copy, and add what changed in the row"
MOVED = "copy, moved as the row moves and mixed with it"
BASELINES = (INPAINT, PUSH_PULL, NEAREST, CHANGE, MOVED)

# Group, name and depth: "true", "ours", a file's name, or "none".
Row = tuple[str, str, str]
# The entries of a row, by scene.
Scenes = dict[int | str, dict[str, Any]]
Estimate = dict[str, Any]


def gather(records: Sequence[dict]) -> dict[Row, Scenes]:
    """Return each row's scores of the scenes that have the row."""
    scores: dict[Row, Scenes] = {}
    for record in sorted(records, key=lambda x: (isinstance(x["scene"], str), x["scene"])):
        for entry in record["rows"]:
            row = record["group"], entry["row"], entry["depth"]
            scores.setdefault(row, {}).setdefault(record["scene"], {}).update(entry)
    return scores


def estimate(values: Sequence[float | None]) -> Estimate:
    """Return mean and standard error of the values that exist, null without; not None or NaN."""
    known = np.array(values, np.float64)
    known = known[np.isfinite(known)]
    count = len(known)
    error = float(known.std(ddof=1)) / math.sqrt(count) if count > 1 else None
    return {"mean": float(known.mean()) if count else None, "error": error, "scenes": count}


def means(scenes: Scenes) -> dict[str, Estimate]:
    """Return the mean of every score over the scenes of a row."""
    names = dict.fromkeys(x for entry in scenes.values() for x in entry if x in HEADS)
    return {x: estimate([entry.get(x) for entry in scenes.values()]) for x in names}


def differences(row: Scenes, baseline: Scenes) -> dict[str, Estimate]:
    """Return the mean of row - baseline over the scenes of both; of baseline - row for LPIPS."""
    found = {}
    for name in (x for x in means(row) if x in METRICS):
        pairs = [(row[x].get(name), baseline[x].get(name)) for x in row if x in baseline]
        values = np.diff(np.array(pairs, np.float64).reshape(-1, 2))[:, 0]
        values = values if name.startswith("lpips") else -values
        found[name] = estimate(values.tolist())
    return found


def summary(records: Sequence[dict]) -> dict[str, Any]:
    """Return means of all rows and differences to the baselines, ready for JSON.

    A row of a method has differences to the baselines above it of the same clips and depth.
    """
    scores = gather(records)
    rows = [
        {"group": group, "name": name, "depth": depth, "scenes": len(scenes)}
        | means(scenes)
        for (group, name, depth), scenes in scores.items()
    ]
    pairs = [
        {"group": group, "name": name, "depth": depth, "minus": other[1]}
        | differences(scores[group, name, depth], scores[other])
        for i, (group, name, depth) in enumerate(scores)
        for other in list(scores)[:i]
        if name not in BASELINES and other[1] in BASELINES and other[::2] == (group, depth)
    ]
    groups = dict.fromkeys(record["group"] for record in records)
    return {
        "groups": {group: _details(records, group) for group in groups},
        "rows": rows,
        "differences": pairs,
    }


def _details(records: Sequence[dict], group: str) -> dict[str, Estimate]:
    """Return estimates of the numbers of a group's clips that belong to no row."""
    members = [record for record in records if record["group"] == group]
    other = {"group", "scene", "rows", "mark", "missing"}
    names = dict.fromkeys(x for record in members for x in record if x not in other)
    return {x: estimate([record.get(x) for record in members]) for x in names}


def markdown(
    found: Mapping[str, Any],
    preface: str,
    *,
    compared: Sequence[str] = (),
    missing: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page: for each group tables of means, and differences to baselines.

    Args:
      found: the `summary` of all clips.
      preface: head of the page.
      compared: names of the rows, beside baselines, whose differences the page shows.
      missing: why scores are not there, by their names.
    """
    parts = [preface]
    for group, shares in found["groups"].items():
        rows = [row for row in found["rows"] if row["group"] == group]
        count = max((row["scenes"] for row in rows), default=0)
        parts.append(f"## {group}: {count} scenes" if count > 1 else f"## {group}")
        about = [
            f"{x.replace('_', ' ')} {y['mean']:.3f}"
            for x, y in shares.items()
            if y["scenes"]
        ]
        if about:
            parts.append(f"Means over clips: {', '.join(about)}.")
        lines = {(x["name"] + _of(x["scenes"], count), x["depth"]): x for x in rows}
        gained = {
            (f"{x['name']} − {x['minus']}", x["depth"]): x
            for x in found["differences"]
            if x["group"] == group and x["name"] in compared
        }
        for region, title in REGION_TITLES.items():
            names = [name + region for name in TRUE_HEADS]
            if cells := _cells("row", lines, names):
                parts.append(f"{title}:\n\n{text_table(cells)}")
            if cells := _cells("difference", gained, names, sign="+"):
                title = "Paired differences; positive is better, for LPIPS too"
                parts.append(f"{title}:\n\n{text_table(cells)}")
        if cells := _cells("row", lines, list(OTHER_HEADS)):
            heads, _, *turned = zip(*cells, strict=True)
            parts.append(text_table([heads, *turned]))
    absent = [f"- {name} not scored: {why}" for name, why in missing.items()]
    return "\n\n".join([*parts, "\n".join(absent)]).rstrip() + "\n"


def _of(count: int, most: int) -> str:
    """Say over how many scenes a mean is, where others are over more."""
    return "" if count == most else f" ({count} of {most})"


def _cells(
    heading: str,
    lines: Mapping[tuple[str, str], Mapping[str, Any]],
    names: Sequence[str],
    sign: str = "",
) -> list[list[str]]:
    """Return the table of those scores that some line has, heads first; empty without any.

    Args:
      heading: of the first column.
      lines: estimates, by what stands in the first columns.
      names: of the scores, a column each.
      sign: "+" for differences.
    """
    none = estimate([])
    shown = [
        x for x in names if any(line.get(x, none)["scenes"] for line in lines.values())
    ]
    if not shown:
        return []
    cells = [[heading, "depth", *(HEADS[name][0] for name in shown)]]
    for labels, line in lines.items():
        most = max((line[x]["scenes"] for x in line if x in HEADS), default=0)
        cells.append([*labels, *(_cell(line.get(x, none), x, most, sign) for x in shown)])
    return cells


def _cell(value: Estimate, name: str, most: int, sign: str) -> str:
    """Return mean ± standard error as text, a dash for none; `sign` is "+" for differences.

    A mean over fewer scenes than there are says so: a grid without matches has no epipolar error,
    which must not look like a good one.
    """
    if not value["scenes"]:
        return "–"
    form = HEADS[name][1]
    text = f"{value['mean']:{sign}{form}}"
    if value["error"] is not None:
        text += f" ± {value['error']:{form}}"
    return text if name in OF_SETS else text + _of(value["scenes"], most)


def text_table(cells: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, headings first, whose source lines up too, for the terminal."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = [cells[0], ["-" * width for width in widths], *cells[1:]]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
