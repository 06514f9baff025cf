"""The pages of an evaluation: numbers for programs, a table for people, and a picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from full4d_jax.media.pictures import save_picture
from full4d_jax.session.errors import tell
from input_pipeline.whole_files import write_text


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
