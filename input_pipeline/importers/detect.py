"""Detect a folder's layout and say why; importers are asked in the order given here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from input_pipeline.cameras import check_field
from input_pipeline.capture import Capture
from input_pipeline.importers import (
    cameras_json,
    colmap,
    dnerf,
    dycheck,
    fdanyone,
    instants,
    llff,
    multicam,
    opencv,
    panoptic,
    qualisys,
    recammaster,
    record3d,
    stray,
    transforms_json,
    uncalibrated,
)
from input_pipeline.importers.sync import apply_sync

# Files that only one layout writes come first; COLMAP's projects lie beside many others, and
# films are without cameras where no file has any.
LAYOUTS = {
    "dycheck": dycheck,
    "panoptic": panoptic,
    "recammaster": recammaster,
    "record3d": record3d,
    "stray": stray,
    "multicam": multicam,
    "instants": instants,
    "dnerf": dnerf,
    "nerfstudio": transforms_json,
    "llff": llff,
    "qualisys": qualisys,
    "fdanyone": fdanyone,
    "cameras_json": cameras_json,
    "opencv": opencv,
    "colmap": colmap,
    "uncalibrated": uncalibrated,
}


def detect(path: Path) -> tuple[str, str, list[str]]:
    """Return the layout of a folder, why, and which others would fit as well.

    Raises:
      ValueError: it has none; the message says what each importer looked for.
    """
    marks = {name: layout.matches(path) for name, layout in LAYOUTS.items()}
    fitting = [name for name, mark in marks.items() if mark]
    if not fitting:
        known = [f"{name}: {layout.NEEDS}" for name, layout in LAYOUTS.items()]
        reasons = "; ".join(["no known layout", *opencv.broken_tables(path)])
        raise ValueError(f"{path}: found {reasons}, expected one of {'; '.join(known)}")
    name, *others = fitting
    return name, f"{marks[name].relative_to(path)} is there", others


# A folder and what `detect` says of it.
SceneFolder = tuple[Path, str, str, list[str]]


def find_scenes(path: Path) -> tuple[list[SceneFolder], list[str]]:
    """Find the folder itself or its subfolders that have a layout, and names of the others.

    Where no subfolder has one, theirs are asked (MultiCamVideo's train/f24_aperture5/scene1).

    Raises:
      ValueError: none has one.
    """
    # Folders below the one that is named, in which scenes are looked for.
    most_levels = 2
    try:
        return [(path, *detect(path))], []
    except ValueError as error:
        folders = [path]
        for _ in range(most_levels):
            folders = [f for above in folders for f in sorted(above.iterdir()) if f.is_dir()]
            scenes = []
            unknown = []
            for folder in folders:
                try:
                    scenes.append((folder, *detect(folder)))
                except ValueError:
                    unknown.append(str(folder.relative_to(path)))
            if scenes:
                return scenes, unknown
        raise error from None


def read_captures(path: Path, layout: str, fps: float | None) -> list[Capture]:
    """Read the folder with the importer of that layout, on the clock of its sync.json.

    Raises:
      ValueError: naming the file or camera that does not fit, or for files whose tables are not of
        the layout's form at all.
    """
    try:
        # Absurd numbers are refused in words.
        with np.errstate(over="ignore", invalid="ignore"):
            return apply_sync(path, LAYOUTS[layout].read(path, fps))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and ", expected " in str(error):
            # An importer's own words.
            raise
        found = f"tables of another form ({type(error).__name__}: {error})"
        needs = LAYOUTS[layout].NEEDS
        raise ValueError(f"{path}, {layout}: found {found}, expected {needs}") from error


def require_inside(folder: Path, captures: Sequence[Capture]) -> None:
    """Refuse captures with a file outside of a folder, by `..`, an absolute path or a link.

    A stranger's table could name a private picture.

    Raises:
      ValueError: naming the first such file and where it lies.
    """
    root = folder.resolve()
    expected = "files in that folder (data import --follow-links takes others)"
    for view in (view for capture in captures for view in capture.views):
        for file in filter(None, (*view.files, *view.depth, *view.confidence, *view.masks)):
            place = file.resolve()
            check_field(f"camera {view.name}, {file}", place.is_relative_to(root), place, expected)
