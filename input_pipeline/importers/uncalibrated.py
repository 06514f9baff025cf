"""Results of generators that write no cameras: they are recognized, and the missing file is named.

    SynCamMaster        prompt0_merged.mp4: two views side by side
    TrajectoryCrafter   gen.mp4, render.mp4, mask.mp4: around a point at a depth that is not kept

GEN3C names its only film as it is asked to and keeps no cameras either; nothing
distinguishes it from any other film.
"""

import re
from pathlib import Path

from input_pipeline.capture import Capture
from input_pipeline.footage import VIDEOS, listed

NEEDS = "cameras, which no file here tells"
SAYS = {
    "SynCamMaster": "films of SynCamMaster, two views side by side without cameras",
    "TrajectoryCrafter": "a film of TrajectoryCrafter without cameras",
}


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    generator = _generator(path)
    if not generator:
        return False, "no films of SynCamMaster or TrajectoryCrafter"
    return True, f"films as {generator} names them"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Refuse the folder.

    Raises:
      ValueError: always; it says which file to add.
    """
    del fps
    found = SAYS[_generator(path)]
    expected = (
        'one film a view, with their lenses and poses in cameras.json and "generated": true there '
        "(docs/data.md), or in transforms.json"
    )
    raise ValueError(f"{path}: found {found}, expected {expected}")


def _generator(path: Path) -> str:
    """Return whose films lie in a folder; empty for an unknown source."""
    names = {film.stem for film in listed(path, VIDEOS)}
    if any(re.fullmatch(r"prompt\d+_merged", name) for name in names):
        return "SynCamMaster"
    return "TrajectoryCrafter" if {"gen", "render", "mask"} <= names else ""
