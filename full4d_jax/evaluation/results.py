"""The folder of an evaluation: a line of scores a clip, and the pages with all of them.

A line of JSON is appended as soon as its clip is scored; the first line says what was evaluated.
Running again reads what is there, so that only the missing clips are scored; a line that a kill
cut short is dropped.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.media.pictures import save_picture
from full4d_jax.session.errors import InputError, input_errors, tell
from input_pipeline.plain_files import load_lines, require_layout
from input_pipeline.whole_files import open_to_append, write_text

CLIP = {"group": str, "scene": int}  # required fields in the line of a clip


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


def write_results(
    folder: Path,
    name: str,
    values: Mapping[str, Any],
    page: str,
    shows: str,
    sheet: UInt8[np.ndarray, "h w 3"] | None = None,
) -> None:
    """Write NAME.json, NAME.md and NAME.png, each of them whole or not at all, and print the page.

    Args:
      folder: for the results.
      name: of the files.
      values: the content of the JSON file.
      page: Markdown.
      shows: what is in the picture, for people.
      sheet: the picture; None where it lies in the folder already.
    """
    write_text(folder / f"{name}.json", json.dumps(values, indent=1) + "\n")
    write_text(folder / f"{name}.md", page)
    if sheet is not None:
        save_picture(folder / f"{name}.png", sheet)
    tell(page)
    print(f"wrote {folder}/{name}.json, {name}.md, and {name}.png: {shows}")
