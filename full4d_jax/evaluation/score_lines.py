"""Scores of an evaluation on disk: one line of JSON a clip, appended as soon as it is scored.

The first line says what was evaluated. Running again reads what is there, so that only the missing
clips are scored; a line that a kill cut short is dropped.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from full4d_jax.session.errors import InputError


def open_lines(path: Path, mark: str) -> list[dict]:
    """Return the lines that an earlier run of the same evaluation (the same `mark`) left in `path`.

    Raises:
      InputError: the file holds another evaluation.
    """
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    whole = [line for line in lines if line.endswith("\n")]
    if not whole:
        path.write_text(json.dumps({"evaluation": mark}) + "\n")
        return []
    try:
        found = json.loads(whole[0])["evaluation"]
    except (ValueError, KeyError, TypeError):
        found = "not from here"
    if found != mark:
        raise InputError(
            "scores",
            path,
            f"an evaluation of other weights or settings ({found})",
            f"one of these ({mark})",
            "give another folder as --out or delete the file",
        )
    if len(whole) < len(lines):
        path.write_text("".join(whole))
    return [json.loads(line) for line in whole[1:]]


def append_lines(path: Path, lines: Sequence[dict]) -> None:
    """Add lines to the file."""
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def missing(lines: Sequence[dict], group: str, scenes: Iterable[int]) -> list[int]:
    """Return the scenes of a group that have no line yet."""
    done = {line["scene"] for line in lines if line["group"] == group}
    return [scene for scene in scenes if scene not in done]
