"""The page and the picture of a comparison with the truth, by numpy alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from full4d_jax.evaluation.fidelity import METRICS, REGIONS
from full4d_jax.evaluation.table import PIXELS, estimate, score_table
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.media.pictures import MARGIN, contact_sheet, to_uint8

FAINT = 2  # factor that makes differences brighter
FEW = 8  # views of which every row and region has a line
CELL_ROWS = 192  # of a picture
MAX_SHEET_SIDE = 4000  # pixels


def page(result: Mapping[str, Any], subject: str) -> str:
    """Return the Markdown page of what `score_with_truth` found."""
    targets = [x for x in result["rows"] if x["row"] == subject and isinstance(x["view"], int)]
    new = [str(row["view"]) for row in targets if not row["in_grid"]]
    whose = {"record": "in the record", "folder": "in the output folder", "unknown": "not known"}
    instants = ", ".join(map(str, result["instants"]))
    other_views = " and ".join(map(str, result["given_views"][1:]))
    views = f"{result['source_view']}{other_views and f', beside it {other_views}'}"
    lines = [
        f"# {subject} against the real views of clip {result['clip']} ({result['scene']})",
        (
            f"Split `{result['split']}` of `{result['dataset']}` (`{result['content'][:16]}`). "
            f"The source is view {views}, at instants {instants}; one unit is "
            f"{result['unit']:.4g} of the dataset's. Its depth is {whose[result['depth']]}."
        ),
    ]
    if new:
        lines.append(f"These views were not fitted: {', '.join(new)}.")
    known = sorted((x["psnr"], x["view"]) for x in targets if x["psnr"] is not None)
    if known:
        low, worst = known[0]
        high, best = known[-1]
        lines.append(
            f"PSNR of cameras: {low:.2f} dB (view {worst}) to {high:.2f} dB (view {best}), median "
            f"{np.median([x for x, _ in known]):.2f} dB."
        )
    for region in REGIONS:
        shown = {
            (row["row"], str(row["view"])): {x: estimate([row.get(x)]) for x in METRICS}
            for row in result["rows"]
            if _is_shown(row, subject, region, len(targets))
        }
        if table := score_table(["row", "view"], shown, region):
            lines.append(f"{PIXELS[region]}:\n\n{table}")
    if all(row["lpips"] is None for row in result["rows"]):
        lines.append(f"LPIPS was not measured: `{LPIPS_INSTALL}`.")
    return "\n\n".join(lines) + "\n"


def _is_shown(row: Mapping[str, Any], subject: str, region: str, views: int) -> bool:
    """Return whether a row has a line; of many views only the subject's have, in one table."""
    few = views <= FEW or (row["row"] == subject and not region)
    return few or isinstance(row["view"], str)


def draw(
    rows: Mapping[str, Float[np.ndarray, "v t h w 3"]],
    truth: Float[np.ndarray, "v t h w 3"],
    views: Int[np.ndarray, " v"],
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the truth, the first row, their difference and the other rows, at the last instant.

    Of many views some are drawn, evenly spread.
    """
    most = MAX_SHEET_SIDE // (CELL_ROWS + 2 * MARGIN)
    drawn = np.unique(np.linspace(0, len(views) - 1, min(most, len(views))).round().astype(int))
    last = {name: pictures[drawn, -1] for name, pictures in rows.items()}
    first = next(iter(last.values()))
    true = truth[drawn, -1]
    pictures = [true, first, np.abs(first - true) * FAINT, *list(last.values())[1:]]
    names = list(rows)
    width = truth.shape[3] / truth.shape[2]
    return contact_sheet(
        to_uint8(np.stack(pictures, 1)),
        rows=[f"view {view}" for view in views[drawn]],
        columns=["truth", names[0], f"difference x{FAINT}", *names[1:]],
        title=f"The last instant of {len(drawn)} of {len(views)} target views",
        cell_height=min(CELL_ROWS, int((MAX_SHEET_SIDE / (len(pictures) + 1) - MARGIN) / width)),
    )
