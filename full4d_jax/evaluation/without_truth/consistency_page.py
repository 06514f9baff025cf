"""The Markdown table of `full4d evaluate` of a run, and its picture of matched points."""

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation.without_truth.consistency import Frames, matches_at
from full4d_jax.media.pictures import enlarge

SHOWN_SIDE = 384  # pixels of a picture's larger side on the page
GOOD = (60, 220, 90)  # colour of matches within a pixel of their line
BAD = (235, 60, 60)  # colour of the others
HEADS = {  # of docs/evaluation.md, and how numbers are written
    "matches": ("matches a pair", "{:.0f}"),
    "verified": ("of these verified", "{:.0f}"),
    "median": ("epipolar error, pixels", "{:.2f}"),
    "below_one": ("below 1 pixel", "{:.0%}"),
    "matched": ("matches by --matcher_onnx, a pair", "{:.0f}"),
    "warping": ("warping in time", "{:.5f}"),
    "flicker": ("flicker", "{:.4f}"),
    "cross_view": ("warping across views", "{:.5f}"),
    "cross_view_seen": ("pixels that are in both views", "{:.0%}"),
    "clip_f": ("CLIP-F", "{:.2f}"),
    "clip_v": ("CLIP-V", "{:.2f}"),
    "clip_score": ("CLIP score", "{:.2f}"),
    "confidence": ("confidence by --pointmaps_onnx", "{:.2f}"),
    "met3r": ("MEt3R", "{:.4f}"),
    "fvd": ("FVD", "{:.1f}"),
    "fvd_v": ("FVD-V", "{:.1f}"),
    "fid": ("FID", "{:.1f}"),
}

Scores = Mapping[str, float | None]


def table(
    rows: Mapping[str, Scores],
    missing: Mapping[str, str],
    counts: Mapping[str, Mapping[str, tuple[int, int]]],
    heads: Mapping[str, tuple[str, str]] = HEADS,
) -> str:
    """Return a line for each known score, a column for each subject, and what is missing.

    Args:
      rows: scores by subject.
      missing: why scores are not there, by their names.
      counts: of how many folders a score is, by subject and score; left out, of all.
      heads: what each score is called, and how it is written, in the order of the lines.

    A mean over fewer folders than there are says so: a grid without matches has no epipolar error,
    which must not look like a good one.
    """
    lines = ["| | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for key, (head, form) in heads.items():
        values = [scores.get(key) for scores in rows.values()]
        if any(value is not None for value in values):
            of = [counts.get(name, {}).get(key, (1, 1)) for name in rows]
            cells = [
                "-" if value is None else form.format(value) + (f" ({n} of {m})" if n < m else "")
                for value, (n, m) in zip(values, of, strict=True)
            ]
            lines.append(f"| {head} | " + " | ".join(cells) + " |")
    if missing:
        lines += ["", *(f"- {name} not scored: {why}" for name, why in missing.items())]
    return "\n".join(lines) + "\n"


def draw_matches(frames: Frames, cameras: Cameras) -> UInt8[np.ndarray, "H W 3"]:
    """Draw matches of the source with each other view at the first instant."""
    first = frames[:, 0]
    h, w = first.shape[1:3]
    scale = max(1, SHOWN_SIDE // max(h, w))
    rows = []
    for match, distances in matches_at(frames, cameras, 0, len(first) ** 2):
        if match.first:
            continue
        row = np.concatenate([enlarge(first[i], scale) for i in (0, match.second)], 1).copy()
        for (a, b), distance in zip(match.points * scale, distances, strict=True):
            start = np.round(a).astype(int).tolist()
            end = np.round(b).astype(int).tolist()
            color = GOOD if distance < 1 else BAD
            cv2.line(row, start, [end[0] + w * scale, end[1]], color, 1, cv2.LINE_AA)
        rows.append(row)
    return np.concatenate(rows or [enlarge(first[0], scale)])
