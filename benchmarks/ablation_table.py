"""Paired statistics of ablations, and their page: a table and a chart of differences."""

import math
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ablation_runs import SCORES, Run
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from full4d_jax.evaluation.table import text_table
from full4d_jax.media.pictures import FAINT, INK, PAPER, SOURCE_INK, TARGET_INK, save_picture

# What the papers report of the same change, as far as it is an order: of Full-4D in matched pixels
# (by a secondary source), of 4Real-Video in FVD, of its second version (V2) in PSNR.
PAPERS = {
    "own view alone": "worse, the most of four",
    "without cross-half": "worse, the second",
    "without intra-time": "worse, the third",
    "without projection": "worse, the least of four",
    "sequential": "worst",
    "two_stream_hard": "worse; than soft, too",
    "two_stream_soft": "worse (V2)",
}
HEADINGS = {
    "psnr": "PSNR",
    "hard": "hard pixels",
    "denoised": "denoised hard pixels",
    "apart": "views apart",
    "matched": "matched, %",
    "above": "above chance, %",
}
LEGEND = (
    "dB, but for matched points. First row of each group: mean ± standard error over scenes and "
    "seeds; others: their difference from it, paired by seed and scene. Bold: at least twice its "
    "error. GFLOP: of one grid, forward. Seconds: CPU time of all threads."
)
WIDTH = 760
ROW = 22
LEFT = 250
FONT = 13


class Table(NamedTuple):
    """A group of rows, all compared with the first one; each row's scores are paired with its."""

    group: str
    rows: dict[str, Run]


class Estimate(NamedTuple):
    """A mean and its standard error, NaN where one sample says nothing of it."""

    mean: float
    error: float

    @property
    def shows(self) -> bool:
        """Say whether the mean is at least twice its error away from zero."""
        return math.isfinite(self.error) and abs(self.mean) >= 2 * self.error > 0


def estimate(values: Float[np.ndarray, "seeds scenes"]) -> Estimate:
    """Return the mean; its error adds the squared errors over scenes and over several seeds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of scenes without a hard pixel
        scenes = np.nanmean(values, 0)
        seeds = np.nanmean(values, 1)
    scenes = scenes[np.isfinite(scenes)]
    seeds = seeds[np.isfinite(seeds)]
    if not scenes.size:
        return Estimate(math.nan, math.nan)
    parts = [x.var(ddof=1) / len(x) for x in (scenes, seeds) if len(x) > 1]
    return Estimate(float(scenes.mean()), math.sqrt(sum(parts)) if len(scenes) > 1 else math.nan)


def differences(table: Table) -> dict[str, dict[str, Estimate]]:
    """Return row minus first row, for every other row and score."""
    first, *later_rows = table.rows
    base = table.rows[first].scores
    return {
        name: {
            score: estimate(table.rows[name].scores[..., i] - base[..., i])
            for i, score in enumerate(SCORES)
            if np.isfinite(base[..., i]).any()
        }
        for name in later_rows
    }


def markdown(tables: list[Table], steps: int) -> str:
    """Return the Markdown page."""
    parts = ["# Ablations"]
    for table in tables:
        seeds, scenes = next(iter(table.rows.values())).scores.shape[:2]
        trained = any(run.cost for run in table.rows.values())
        more = f", {steps} steps, {seeds} seeds" if trained else ""
        parts += [f"## {table.group}: {scenes} scenes{more}", _scores(table)]
        parts += [_costs(table)] if trained else []
    return "\n\n".join([*parts, LEGEND]) + "\n"


def _scores(table: Table) -> str:
    first = next(iter(table.rows))
    start = table.rows[first].scores
    gains = differences(table)
    names = [name for i, name in enumerate(SCORES) if np.isfinite(start[..., i]).any()]
    means = [estimate(start[..., SCORES.index(name)]) for name in names]
    lines = [[first, *(f"{x.mean:.2f} ± {x.error:.2f}" for x in means), "", ""]]
    for row, values in gains.items():
        verdict = "shows" if any(x.shows for x in values.values()) else "none shows"
        lines.append([row, *(_cell(values[x]) for x in names), verdict, PAPERS.get(row, "")])
    headings = ["row", *(HEADINGS[name] for name in names), "difference", "papers"]
    return text_table(headings, lines)


def _costs(table: Table) -> str:
    lines = [
        [
            name,
            f"{run.cost['parameters'] / 1e3:.0f} k",
            f"{run.cost['trained'] / 1e3:.0f} k",
            f"{run.cost['gigaflop']:.2f}",
            f"{run.cost['seconds_per_step']:.3f}",
            f"{run.cost['temporary_bytes'] / 2**20:.0f}",
        ]
        for name, run in table.rows.items()
    ]
    headings = ["row", "parameters", "trained", "GFLOP", "seconds a step", "MiB of a step"]
    return text_table(headings, lines)


def _cell(value: Estimate) -> str:
    text = f"{value.mean:+.2f} ± {value.error:.2f}"
    return f"**{text}**" if value.shows else text


def plain(tables: list[Table]) -> dict[str, Any]:
    """Return the tables for programs, by group and row, with null for NaN."""

    def values(estimates: dict[str, Estimate]) -> dict[str, Any]:
        return {
            score: {k: v if math.isfinite(v) else None for k, v in x._asdict().items()}
            for score, x in estimates.items()
        }

    return {
        table.group: {
            name: {
                "mean": values({s: estimate(run.scores[..., i]) for i, s in enumerate(SCORES)}),
                "difference": values(differences(table).get(name, {})),
                "cost": run.cost,
            }
            for name, run in table.rows.items()
        }
        for table in tables
    }


def save_chart(tables: list[Table], path: Path) -> None:
    """Differences in dB on hard pixels as bars with their errors, grey where none shows."""
    lines = [
        (table.group, name, by_score["hard"])
        for table in tables
        for name, by_score in differences(table).items()
        if "hard" in by_score and math.isfinite(by_score["hard"].mean)
    ]
    reach = max([0.1, *(abs(x.mean) + (x.error if x.error > 0 else 0) for *_, x in lines)])
    page = Image.new("RGB", (WIDTH, ROW * (len(lines) + 3)), PAPER)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(FONT)
    middle = (LEFT + WIDTH) / 2
    scale = (WIDTH - LEFT - 40) / 2 / reach
    draw.text((8, 6), f"dB on hard pixels, against the first row; ends at ±{reach:.2f}", INK, font)
    draw.line((middle, ROW, middle, ROW * (len(lines) + 2)), FAINT)
    for i, (group, name, x) in enumerate(lines):
        y = ROW * (i + 2)
        draw.text((8, y), f"{group}: {name}", INK, font, anchor="lm")
        end = middle + scale * x.mean
        ink = (TARGET_INK if x.mean > 0 else SOURCE_INK) if x.shows else FAINT
        draw.rectangle((min(middle, end), y - 6, max(middle, end), y + 6), ink)
        if math.isfinite(x.error):
            draw.line((end - scale * x.error, y, end + scale * x.error, y), INK, 2)
    save_picture(path, np.asarray(page))
