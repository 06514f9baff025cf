"""The page and the picture of a comparison with the truth, by numpy alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from full4d_jax.evaluation.fidelity import MEASURES, REGIONS
from full4d_jax.evaluation.table import DIGITS, HEADINGS, PIXELS, Estimate, table_cell, text_table
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.media.pictures import contact_sheet, to_uint8

FAINT = 2  # factor that makes differences brighter


def page(result: Mapping[str, Any], subject: str) -> str:
    """Return the Markdown page of what `score_with_truth` found."""
    targets = [row for row in result["rows"] if row["row"] == subject and row["view"] != "all"]
    new = [str(row["view"]) for row in targets if not row["in_grid"]]
    whose = {"record": "in the record", "folder": "in the output folder", "unknown": "not known"}
    instants = ", ".join(map(str, result["instants"]))
    lines = [
        f"# {subject} against the real views of clip {result['clip']} ({result['scene']})",
        (
            f"Split `{result['split']}` of `{result['dataset']}` (`{result['content'][:16]}`). "
            f"The source is view {result['source_view']}, at instants {instants}; one unit is "
            f"{result['unit']:.4g} of the dataset's. Its depth is {whose[result['depth']]}."
        ),
    ]
    if new:
        lines.append(f"These views were not fitted: {', '.join(new)}.")
    for region in REGIONS:
        names = [measure + region for measure in MEASURES]
        columns = [n for n in names if any(row[n] is not None for row in result["rows"])]
        if columns:
            lines.append(f"{PIXELS[region]}:\n\n" + _table(result["rows"], columns, region))
    if all(row["lpips"] is None for row in result["rows"]):
        lines.append(f"LPIPS was not measured: `{LPIPS_INSTALL}`.")
    return "\n\n".join(lines) + "\n"


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], region: str) -> str:
    measures = [name.removesuffix(region) if region else name for name in columns]
    cells = []
    for row in rows:
        values = [math.nan if row[name] is None else row[name] for name in columns]
        estimates = [Estimate(value, math.nan, int(math.isfinite(value))) for value in values]
        numbers = [table_cell(x, DIGITS[m]) for x, m in zip(estimates, measures, strict=True)]
        cells.append([row["row"], str(row["view"]), *numbers])
    return text_table(["row", "view", *(HEADINGS[m] for m in measures)], cells)


def draw(
    rows: Mapping[str, Float[np.ndarray, "v t h w 3"]],
    truth: Float[np.ndarray, "v t h w 3"],
    views: Int[np.ndarray, " v"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the truth, the first row, their difference and the other rows, at the last instant."""
    first = next(iter(rows.values()))
    difference = np.abs(first - truth) * FAINT
    pictures = [truth, first, difference, *list(rows.values())[1:]]
    names = list(rows)
    return contact_sheet(
        to_uint8(np.stack([x[:, -1] for x in pictures], 1)),
        rows=[f"view {view}" for view in views],
        columns=["truth", names[0], f"difference x{FAINT}", *names[1:]],
        title="The last instant of every target view",
        cell_height=192,
    )
