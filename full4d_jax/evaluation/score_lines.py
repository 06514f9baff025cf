"""Scores of an evaluation on disk: one line of JSON a clip, appended as soon as it is scored.

The first line says what was evaluated. Running again reads what is there, so that only the missing
clips are scored; a line that a kill cut short is dropped.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.json_layout import load_lines, require_layout
from input_pipeline.opening import open_to_append
from input_pipeline.whole_files import write_text

CLIP = {"group": str, "scene": int}  # what the line of a clip tells, at least


def open_lines(path: Path, mark: str, layout: Mapping = CLIP) -> list[dict]:
    """Return the lines that an earlier run of the same evaluation (the same `mark`) left in `path`.

    Args:
      path: the file.
      mark: of the evaluation.
      layout: fields that every line must have.

    Raises:
      InputError: the file holds another evaluation, or a line that is none.
    """
    rows = []
    do = "give another folder as --out or delete the file"
    with input_errors("scores", do):
        rows = load_lines(path, dict) if path.is_file() else []
        for number, row in enumerate(rows[1:], 2):
            require_layout(row, layout, f"{path}, line {number}")
    if not rows:
        write_text(path, json.dumps({"evaluation": mark}) + "\n")
        return []
    written_mark = rows[0].get("evaluation", "not from here")
    if written_mark != mark:
        raise InputError(
            "scores",
            path,
            f"an evaluation of other weights or settings ({written_mark})",
            f"one of these ({mark})",
            do,
        )
    if not path.read_bytes().endswith(b"\n"):
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    return rows[1:]


def append_lines(path: Path, lines: Sequence[dict]) -> None:
    """Add lines to the file."""
    with os.fdopen(open_to_append(path), "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def missing(lines: Sequence[dict], group: str, scenes: Iterable[int]) -> list[int]:
    """Return the scenes of a group that have no line yet."""
    done = {line["scene"] for line in lines if line["group"] == group}
    return [scene for scene in scenes if scene not in done]
