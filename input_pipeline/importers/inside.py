"""Refuses captures whose files lie elsewhere: a stranger's table could name a private picture."""

from collections.abc import Sequence
from pathlib import Path

from input_pipeline.capture import Capture


def require_inside(folder: Path, captures: Sequence[Capture]) -> None:
    """Refuse captures with a file outside of a folder, by `..`, an absolute path or a link.

    Raises:
      ValueError: naming the first such file and where it lies.
    """
    root = folder.resolve()
    for capture in captures:
        for view in capture.views:
            for file in (*view.files, *view.depth, *view.masks):
                place = file.resolve()
                if not place.is_relative_to(root):
                    expected = "files in that folder (data import --follow-links takes others)"
                    raise ValueError(
                        f"camera {view.name}, {file}: found {place}, expected {expected}"
                    )
