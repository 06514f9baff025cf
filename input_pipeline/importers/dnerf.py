"""D-NeRF and NeRF-synthetic: transforms_{train,val,test}.json, with or without a time."""

from pathlib import Path

from input_pipeline import capture, media_files
from input_pipeline.importers.transforms_json import read_transforms

FILES = tuple(f"transforms_{split}.json" for split in ("train", "val", "test"))


def matches(path: Path) -> Path | None:
    """Return the file that shows this layout."""
    return media_files.first_file(path, FILES[:1])


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture a split, of one scene: their instants differ.

    Raises:
      ValueError: see `read_transforms`.
    """
    files = [path / name for name in FILES]
    return [read_transforms(file, path.name, fps) for file in files if file.is_file()]
