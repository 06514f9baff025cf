"""Means, paired differences and Markdown tables of the scores of single clips, by numpy.

A record is what an evaluation appends for one clip, one line of JSON:

    {"group": "held-out", "scene": 3, "hole_fraction": 0.41, "moving_fraction": 0.02,
     "rows": [{"row": "copy the source", "depth": "none", "psnr": 15.2, ...}, ...]}

Differences pair by scene, over the scenes that have both rows. What does not exist (no unseen
pixel, no LPIPS) is null.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from full4d_jax.evaluation.fidelity import CHANGES, MEASURES, METRICS

# Scores as people write them, and the format of their numbers. Those of the second table, which
# has a line each, need no truth.
TRUE_HEADS = {
    "psnr": ("PSNR", ".2f"),
    "ssim": ("SSIM", ".3f"),
    "lpips": ("LPIPS", ".3f"),
    "lpips_vgg": ("LPIPS (VGG)", ".3f"),
    "change_correlation": ("correlation of change", ".2f"),
    "change_size": ("size of change", ".2f"),
}
CONSISTENCY_HEADS = {
    "matches": ("matches a pair", ".0f"),
    "verified": ("of these verified", ".0f"),
    "median": ("epipolar error, pixels", ".2f"),
    "below_one": ("below 1 pixel", ".0%"),
    "warping": ("warping in time", ".5f"),
    "flicker": ("flicker", ".4f"),
    "cross_view": ("warping across views", ".5f"),
    "cross_view_seen": ("pixels that are in both views", ".0%"),
    "clip_f": ("CLIP-F", ".2f"),
    "clip_v": ("CLIP-V", ".2f"),
    "clip_score": ("CLIP score", ".2f"),
    "confidence": ("confidence by --pointmaps_onnx", ".2f"),
}
SET_HEADS = {"fvd": ("FVD", ".1f"), "fvd_v": ("FVD-V", ".1f"), "fid": ("FID", ".1f")}
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
HEADS |= CONSISTENCY_HEADS | SET_HEADS
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


class Row(NamedTuple):
    """The name of a row of scores."""

    group: str  # such as "held-out", "grids", a data set's split, or a range of angles
    name: str
    depth: str  # "true", "ours", a file's name, or "none" where no depth is used


class Estimate(NamedTuple):
    """A mean over scenes."""

    mean: float
    error: float  # standard error; NaN for fewer than two scenes
    count: int


Scores = dict[Row, dict[int | str, dict[str, Any]]]  # the entry of a record, by scene
Line = Mapping[str, Estimate]  # by score


def gather(records: Sequence[dict]) -> Scores:
    """Return each row's scores of the scenes that have the row."""
    scores: Scores = {}
    for record in sorted(records, key=lambda x: (isinstance(x["scene"], str), x["scene"])):
        for entry in record["rows"]:
            row = Row(record["group"], entry["row"], entry["depth"])
            scores.setdefault(row, {}).setdefault(record["scene"], {}).update(entry)
    return scores


def details(records: Sequence[dict], group: str) -> dict[str, Estimate]:
    """Return estimates of the numbers of a group's clips that belong to no row."""
    members = [record for record in records if record["group"] == group]
    names = dict.fromkeys(name for record in members for name in record)
    other = {"group", "scene", "rows", "mark", "missing"}
    return {x: estimate([record.get(x) for record in members]) for x in names if x not in other}


def estimate(values: Sequence[float | None] | Float[np.ndarray, "scenes"]) -> Estimate:
    """Return mean and standard error of the values that exist: neither None nor NaN."""
    values = np.array(values, np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    mean = float(values.mean()) if count else math.nan
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(mean, error, count)


def means(scores: Scores, row: Row) -> dict[str, Estimate]:
    """Return the mean of every score over the scenes of a row."""
    entries = list(scores[row].values())
    names = dict.fromkeys(name for entry in entries for name in entry if name in HEADS)
    return {name: estimate([entry.get(name) for entry in entries]) for name in names}


def paired(scores: Scores, row: Row, baseline: Row, metric: str) -> Estimate:
    """Return the mean of row - baseline over scenes; of baseline - row for LPIPS."""
    entries = [(x, scores[baseline].get(scene, {})) for scene, x in scores[row].items()]
    values = np.array([[x.get(metric), y.get(metric)] for x, y in entries], np.float64)
    difference = values[:, 0] - values[:, 1]
    return estimate(-difference if metric.startswith("lpips") else difference)


def differences(scores: Scores) -> dict[tuple[Row, Row], Line]:
    """Return each row of a method less the baselines above it of the same clips and depth."""
    rows = list(scores)
    return {
        (row, baseline): {
            name: paired(scores, row, baseline, name)
            for name in means(scores, row)
            if name in METRICS
        }
        for i, row in enumerate(rows)
        for baseline in rows[:i]
        if row.name not in BASELINES
        and baseline.name in BASELINES
        and (baseline.group, baseline.depth) == (row.group, row.depth)
    }


def markdown(
    records: Sequence[dict],
    preface: str,
    *,
    compared: Sequence[str] = (),
    missing: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page: for each group tables of means, and differences to baselines.

    Args:
      records: of all clips.
      preface: head of the page.
      compared: names of the rows, beside baselines, whose differences the page shows.
      missing: why scores are not there, by their names.
    """
    scores = gather(records)
    gains = differences(scores)
    parts = [preface]
    for group in dict.fromkeys(row.group for row in scores):
        rows = [row for row in scores if row.group == group]
        count = max(len(scores[row]) for row in rows)
        parts.append(f"## {group}: {count} scenes" if count > 1 else f"## {group}")
        shares = details(records, group)
        about = [f"{x.replace('_', ' ')} {y.mean:.3f}" for x, y in shares.items() if y.count]
        if about:
            parts.append(f"Means over clips: {', '.join(about)}.")
        lines = {
            (row.name + _of(len(scores[row]), count), row.depth): means(scores, row) for row in rows
        }
        gained = {
            (f"{row.name} − {baseline.name}", row.depth): line
            for (row, baseline), line in gains.items()
            if row in rows and row.name in compared
        }
        for region, title in REGION_TITLES.items():
            names = [name + region for name in MEASURES] + list(() if region else CHANGES)
            if table := score_table(["row", "depth"], lines, names):
                parts.append(f"{title}:\n\n{table}")
            if table := score_table(["difference", "depth"], gained, names, sign="+"):
                parts.append(f"Paired differences; positive is better, for LPIPS too:\n\n{table}")
        if table := score_table(["row", "depth"], lines, [*CONSISTENCY_HEADS, *SET_HEADS]):
            parts.append(table)
    absent = [f"- {name} not scored: {why}" for name, why in missing.items()]
    return "\n\n".join([*parts, "\n".join(absent)]).rstrip() + "\n"


def summary(records: Sequence[dict]) -> dict[str, Any]:
    """Return the same numbers for programs: means and differences, NaN as null."""
    scores = gather(records)

    def plain(line: Line) -> dict[str, dict]:
        return {
            name: {
                "mean": value.mean if value.count else None,
                "error": value.error if value.count > 1 else None,
                "scenes": value.count,
            }
            for name, value in line.items()
        }

    return {
        "groups": {
            group: plain(details(records, group))
            for group in dict.fromkeys(row.group for row in scores)
        },
        "rows": [row._asdict() | plain(means(scores, row)) for row in scores],
        "differences": [
            row._asdict() | {"minus": baseline.name} | plain(line)
            for (row, baseline), line in differences(scores).items()
        ],
    }


def _of(count: int, most: int) -> str:
    """Say over how many scenes a mean is, where others are over more."""
    return "" if count == most else f" ({count} of {most})"


def score_table(
    headings: Sequence[str],
    lines: Mapping[tuple[str, ...], Line],
    names: Sequence[str],
    sign: str = "",
) -> str:
    """Return the table of those scores that some line has; empty where there are none.

    Scores that need no truth are many, and get a line each; of others each has a column.

    Args:
      headings: of the first columns.
      lines: estimates, by what stands in the first columns.
      names: of the scores.
      sign: "+" for differences.
    """
    shown = [x for x in names if any(x in line and line[x].count for line in lines.values())]
    if not shown:
        return ""
    cells = [[*headings, *(HEADS[name][0] for name in shown)]]
    for labels, line in lines.items():
        most = max((value.count for value in line.values()), default=0)
        cells.append([*labels, *(table_cell(line.get(x), x, most, sign) for x in shown)])
    if shown[0] in CONSISTENCY_HEADS or shown[0] in SET_HEADS:
        cells = [list(column) for column in zip(*cells, strict=True)]
        del cells[1 : len(headings)]
    return text_table(cells[0], cells[1:])


def table_cell(value: Estimate | None, name: str, most: int, sign: str = "") -> str:
    """Return mean ± standard error as text, a dash for none; `sign` is "+" for differences.

    A mean over fewer scenes than there are says so: a grid without matches has no epipolar error,
    which must not look like a good one.
    """
    if value is None or not value.count:
        return "–"
    form = sign + HEADS[name][1]
    text = f"{value.mean:{form}}"
    if not math.isnan(value.error):
        text += f" ± {value.error:{HEADS[name][1]}}"
    return text + ("" if name in SET_HEADS else _of(value.count, most))


def text_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose source lines up too, for the terminal."""
    widths = [max(len(line[i]) for line in (headings, *lines)) for i in range(len(headings))]
    rows = [headings, ["-" * width for width in widths], *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
