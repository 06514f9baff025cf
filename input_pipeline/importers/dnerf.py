"""D-NeRF and NeRF-synthetic: transforms_{train,val,test}.json, with or without a time."""

from pathlib import Path

from input_pipeline.capture import Capture
from input_pipeline.footage import has_one
from input_pipeline.importers.transforms_json import read_transforms

NEEDS = "transforms_train.json (and _val, _test), camera_angle_x, frames with a time"
SPLITS = ("train", "val", "test")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    return has_one(path, ("transforms_train.json",))


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture a split, of one scene: their instants differ.

    Raises:
      ValueError: see `read_transforms`.
    """
    files = [path / f"transforms_{split}.json" for split in SPLITS]
    return [read_transforms(file, path.name, fps) for file in files if file.is_file()]
