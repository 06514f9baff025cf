"""The page and the picture of a clip's scores, by ranges of the angle from the source.

A record is a line of JSON for each later frame:

    {"group": "bikes", "scene": 3, "angle": 4.1, "seen_fraction": 0.93,
     "rows": [{"row": "copy the source", "psnr": 15.2, ..., "lpips": 0.31}, ...]}
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from full4d_jax.evaluation.film.clip import Film
from full4d_jax.evaluation.table import text_table
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.media.pictures import contact_sheet, to_uint8

EDGES = (0, 5, 10, 20, 30)  # degrees
DIGITS = {"psnr": 2, "ssim": 3, "lpips": 3}
TABLES = {
    "All pixels": ("psnr", "ssim", "lpips"),
    "Pixels that the source sees / those that it does not see": ("psnr_seen", "psnr_unseen"),
}
Record = Mapping[str, Any]


def ranges(angles: Sequence[float]) -> dict[str, list[int]]:
    """Return which of the angles lie in each range, by its name; ranges without any are left out.

    A range has its lower edge, the last one both.
    """
    bins = np.digitize(angles, EDGES[1:-1])
    found = {
        f"{EDGES[i]}–{EDGES[i + 1]}°": np.flatnonzero(bins == i).tolist()
        for i in range(len(EDGES) - 1)
    }
    return {name: members for name, members in found.items() if members}


def means(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Return the mean of each measure over the frames that have it, by row."""
    found: dict[str, dict[str, float]] = {}
    for row in [entry["row"] for entry in records[0]["rows"]]:
        entries = [entry for record in records for entry in record["rows"] if entry["row"] == row]
        found[row] = {
            name: float(np.mean(values))
            for name in dict.fromkeys(name for entry in entries for name in entry if name != "row")
            if (values := [entry[name] for entry in entries if entry[name] is not None])
        }
    return found


def summary(records: Sequence[Record], clip: str) -> dict[str, Any]:
    """Return the numbers for programs."""
    chosen = ranges([record["angle"] for record in records])
    parts = {name: [records[i] for i in members] for name, members in chosen.items()}
    return {
        "clip": clip,
        "ranges": {
            name: {
                "frames": len(part),
                "angle": float(np.mean([record["angle"] for record in part])),
                "seen_fraction": float(np.mean([record["seen_fraction"] for record in part])),
                "rows": means(part),
            }
            for name, part in parts.items()
        },
    }


def markdown(records: Sequence[Record], clip: str, preface: str) -> str:
    """Return the page: for each set of pixels a table of rows by ranges of angles."""
    found = summary(records, clip)["ranges"]
    parts = [f"# `{clip}` against its own later frames", preface]
    parts.append(
        text_table(
            ["angle from the source", "frames", "seen pixels"],
            [[name, str(x["frames"]), f"{x['seen_fraction']:.1%}"] for name, x in found.items()],
        )
    )
    rows = list(dict.fromkeys(row for x in found.values() for row in x["rows"]))
    every = [scores for x in found.values() for scores in x["rows"].values()]
    for title, measures in TABLES.items():
        known = [m for m in measures if any(m in scores for scores in every)]
        names = " / ".join(dict.fromkeys(name.partition("_")[0].upper() for name in known))
        lines = [[row, *(_cell(x["rows"][row], known) for x in found.values())] for row in rows]
        parts.append(f"{title}, {names}:\n\n" + text_table(["row", *found], lines))
    if not any("lpips" in scores for scores in every):
        parts.append(f"LPIPS was not measured: `{LPIPS_INSTALL}`, then evaluate into a new folder.")
    return "\n\n".join(parts) + "\n"


def _cell(scores: Mapping[str, float], measures: Sequence[str]) -> str:
    cells = (
        f"{scores[name]:.{DIGITS[name.partition('_')[0]]}f}" if name in scores else "–"
        for name in measures
    )
    return " / ".join(cells)


def draw(
    film: Film, made: Mapping[str, Float[np.ndarray, "n h w 3"]]
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the source, the truth and all rows, for the widest frame in each range of angles."""
    chosen = [max(m, key=lambda i: film.angles[i]) for m in ranges(film.angles.tolist()).values()]
    pictures = [
        [film.source, film.truth[i], *(frames[i] for frames in made.values())] for i in chosen
    ]
    return contact_sheet(
        to_uint8(np.array(pictures)),
        rows=[f"{film.angles[i]:.0f}°" for i in chosen],
        columns=["source", "truth", *made],
        title="The widest later frame of each range of angles",
        cell_height=192,
    )
