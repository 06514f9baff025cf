"""Means, paired differences and a Markdown page of the scores of single scenes, by numpy.

A record is what an evaluation appends for one scene, one line of JSON:

    {"group": "held-out", "scene": 3, "hole_fraction": 0.41, "moving_fraction": 0.02,
     "depth_absrel": 0.27,
     "rows": [{"row": "copy the source", "depth": "none", "psnr": 15.2, ...}, ...]}

A film has "angle" in the place of "depth_absrel". Differences pair by scene, over the scenes that
have both rows. What does not exist (no unseen pixel, no LPIPS, no known depth) is null.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from full4d_jax.evaluation.fidelity import CHANGES, MEASURES, METRICS, REGIONS
from full4d_jax.media.metrics import LPIPS_INSTALL

HEADINGS = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "lpips_vgg": "LPIPS (VGG)"}
HEADINGS |= {"change_correlation": "correlation of change", "change_size": "size of change"}
DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3, "lpips_vgg": 3} | dict.fromkeys(CHANGES, 2)
SCORED = (*METRICS, *CHANGES)
PIXELS = {
    "": "All pixels",
    "_unseen": "Pixels that the source does not see",
    "_moving": "Pixels that move",
    "_seen": "Pixels that the source sees",
}
COPY = "copy the source"
INPAINT = "projection + cv2.inpaint (Telea)"
PUSH_PULL = "projection + push-pull"
GRID = "generated grid"
SCENE = "4D Gaussians"
CASCADE = "cascade"
FITTED = "scene fitted to the cascade"
NEAREST = "copy the nearest given frame"
CHANGE = "copy, and add what changed in the row"
MOVED = "copy, moved as the row moves and mixed with it"
FILLS = (INPAINT, PUSH_PULL)
BASELINES = (*FILLS, NEAREST, CHANGE, MOVED)


class Row(NamedTuple):
    """The name of a row of scores."""

    group: str  # "held-out", "glTF", "grids", a data set's split, or a range of angles
    name: str
    depth: str  # "true", "ours", a file's name, or "none" where no depth is used


class Estimate(NamedTuple):
    """A mean over scenes."""

    mean: float
    error: float  # standard error; NaN for fewer than two scenes
    count: int


Scores = dict[Row, dict[int, dict[str, Any]]]  # the entry of a record, by scene
Line = Mapping[str, Estimate]  # by SCORED, of differences by METRICS


def gather(records: Sequence[dict]) -> Scores:
    """Return each row's scores of the scenes that have the row."""
    scores: Scores = {}
    for record in sorted(records, key=lambda record: record["scene"]):
        for entry in record["rows"]:
            row = Row(record["group"], entry["row"], entry["depth"])
            scores.setdefault(row, {})[record["scene"]] = entry
    return scores


def details(records: Sequence[dict], group: str) -> dict[str, Estimate]:
    """Return estimates of the numbers of a group's clips that belong to no row."""
    members = [record for record in records if record["group"] == group]
    names = [name for name in members[0] if name not in ("group", "scene", "rows")]
    return {name: estimate([x[name] for x in members]) for name in names}


def estimate(values: Sequence[float | None] | Float[np.ndarray, "scenes"]) -> Estimate:
    """Return mean and standard error of the values that exist: neither None nor NaN."""
    values = np.array(values, np.float64)
    values = values[np.isfinite(values)]
    count = len(values)
    mean = float(values.mean()) if count else math.nan
    error = float(values.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(mean, error, count)


def means(scores: Scores, row: Row) -> dict[str, Estimate]:
    """Return the mean of every metric over the scenes of a row."""
    return {metric: estimate([x.get(metric) for x in scores[row].values()]) for metric in SCORED}


def paired(scores: Scores, row: Row, baseline: Row, metric: str) -> Estimate:
    """Return the mean of row - baseline over scenes; of baseline - row for LPIPS."""
    entries = [(x, scores[baseline].get(scene, {})) for scene, x in scores[row].items()]
    values = np.array([[x.get(metric), y.get(metric)] for x, y in entries], np.float64)
    difference = values[:, 0] - values[:, 1]
    return estimate(-difference if metric.startswith("lpips") else difference)


def markdown(records: Sequence[dict], shipped: str, preface: str) -> str:
    """Return the page: a table of means for each group, and differences to baselines."""
    scores = gather(records)
    parts = [preface]
    for group in dict.fromkeys(row.group for row in scores):
        rows = [row for row in scores if row.group == group]
        count = max(len(scores[row]) for row in rows)
        parts.append(
            f"## {group}: {count} scenes\n\n"
            f"{_shares(details(records, group))}Means over scenes ± standard error."
        )
        lines = {
            (row.name + _of(len(scores[row]), count), row.depth): means(scores, row) for row in rows
        }
        # Of the sampler settings the shipped one; the JSON file has all.
        compared = [row for row in rows if row.name in (*BASELINES, FITTED, shipped)]
        differences = {
            (f"{row.name} − {baseline.name}", row.depth): {
                metric: paired(scores, row, baseline, metric) for metric in METRICS
            }
            for row, baseline in comparisons(compared)
        }
        for region in REGIONS:
            if table := score_table(["row", "depth"], lines, region):
                parts.append(f"{PIXELS[region]}:\n\n{table}")
            if table := score_table(["difference", "depth"], differences, region, sign="+"):
                parts.append(f"Paired differences; positive is better, for LPIPS too:\n\n{table}")
    if not any(means(scores, row)["lpips"].count for row in scores):
        parts.append(f"LPIPS was not measured: `{LPIPS_INSTALL}`, then evaluate into a new folder.")
    return "\n\n".join(parts) + "\n"


def summary(records: Sequence[dict], shipped: str) -> dict:
    """Return the same numbers for programs: means and differences, NaN as null."""
    scores = gather(records)

    def plain(value: Estimate) -> dict:
        numbers = {"mean": value.mean, "error": value.error, "scenes": value.count}
        return {k: v if math.isfinite(v) else None for k, v in numbers.items()}

    entries = [entry for by_scene in scores.values() for entry in by_scene.values()]
    scored = [metric for metric in SCORED if any(metric in entry for entry in entries)]
    return {
        "shipped": shipped,
        "groups": {
            group: {name: plain(value) for name, value in details(records, group).items()}
            for group in dict.fromkeys(row.group for row in scores)
        },
        "rows": [
            row._asdict() | {metric: plain(means(scores, row)[metric]) for metric in scored}
            for row in scores
        ],
        "differences": [
            row._asdict()
            | {"minus": baseline.name}
            | {
                metric: plain(paired(scores, row, baseline, metric))
                for metric in scored
                if metric in METRICS
            }
            for row, baseline in comparisons(list(scores))
        ],
    }


def comparisons(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pair every row of the method with the baselines above it of the same clips and depth."""
    return [
        (row, baseline)
        for i, row in enumerate(rows)
        for baseline in rows[:i]
        if row.name not in BASELINES
        and baseline.name in BASELINES
        and (baseline.group, baseline.depth) == (row.group, row.depth)
    ]


def heading(measure: str, region: str) -> str:
    """Return the name of a metric as people write it."""
    return HEADINGS[measure] + region.replace("_", " ")


def _shares(clips: Mapping[str, Estimate]) -> str:
    """Say what share of the pixels is in a region, and how good our depth is, where it is known."""
    holes = clips["hole_fraction"]
    moving = clips["moving_fraction"]
    absrel = clips.get("depth_absrel")
    text = f"{holes.mean:.1%} of the target pixels are unseen. " if holes.count else ""
    text += f"{moving.mean:.1%} of the target pixels move. " if moving.count else ""
    if absrel is None or not absrel.count:
        return text
    percent = absrel._replace(mean=100 * absrel.mean, error=100 * absrel.error)
    return (
        f"{text}Our depth of the source differs by {table_cell(percent, 1)} % from the clips' own "
        "(AbsRel, medians of frames at 1). "
    )


def _of(count: int, most: int) -> str:
    """Say over how many scenes a mean is, where others are over more."""
    return "" if count == most else f" ({count} of {most})"


def score_table(
    headings: Sequence[str], lines: Mapping[tuple[str, ...], Line], region: str, sign: str = ""
) -> str:
    """Return the table of a region's metrics that some line has; empty where there are none.

    Args:
      headings: of the first columns.
      lines: estimates, by what stands in the first columns.
      region: of REGIONS.
      sign: "+" for differences.
    """
    columns = [
        x
        for x in (*MEASURES, *CHANGES)
        if any(x + region in line and line[x + region].count for line in lines.values())
    ]
    if not columns:
        return ""
    cells = []
    for labels, line in lines.items():
        most = max(value.count for value in line.values())
        cells.append([*labels])
        for measure in columns:
            value = line[measure + region]
            text = table_cell(value, DIGITS[measure], sign)
            cells[-1].append(text + _of(value.count, most) if value.count else text)
    return text_table([*headings, *(heading(measure, region) for measure in columns)], cells)


def table_cell(value: Estimate, digits: int, sign: str = "") -> str:
    """Return mean ± standard error as text, a dash for none; `sign` is "+" for differences."""
    if not value.count:
        return "–"
    text = f"{value.mean:{sign}.{digits}f}"
    return text if math.isnan(value.error) else f"{text} ± {value.error:.{digits}f}"


def text_table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose source lines up too, for the terminal."""
    widths = [max(len(line[i]) for line in (headings, *lines)) for i in range(len(headings))]
    rows = [headings, ["-" * width for width in widths], *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
