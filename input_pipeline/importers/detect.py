"""Detect a folder's layout and say why; importers are tried in the order given here.

Beside any capture may lie clocks, which say when each video begins or each frame was taken:

    sync.json: {"cam01": 0.0, "cam02": 0.25, "cam03": [0.01, 0.05, 0.09]}

A number is the second on the common clock at which a video begins; a list holds the seconds of all
its frames, whatever the capture's own tables say of time. Videos that are not named keep theirs.
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from input_pipeline import media_files
from input_pipeline.capture import Capture, View
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
from input_pipeline.plain_files import check_field, damage_of, load_json, numbers

# Files that only one layout writes come first; COLMAP's projects lie beside many others, and
# videos are without cameras where no file has any.
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
# Of folders, the one that is named included, in which scenes are looked for.
MOST_LEVELS = 3
# Of clocks beside a capture.
SYNC = "sync.json"
# A folder and what `detect` says of it.
SceneFolder = tuple[Path, str, str, list[str]]


def detect(path: Path) -> tuple[str, str, list[str]]:
    """Return the layout of a folder, why, and which others would fit as well.

    Raises:
      ValueError: it has none; the message says what each importer looked for.
    """
    marks = {name: layout.matches(path) for name, layout in LAYOUTS.items()}
    fitting = [name for name, mark in marks.items() if mark]
    if not fitting:
        reasons = "; ".join(["no known layout", *opencv.broken_tables(path)])
        known = " ".join(f"{name}: {needs(name)}" for name in LAYOUTS)
        raise ValueError(f"{path}: found {reasons}, expected one of {known}")
    name, *others = fitting
    return name, f"{marks[name].relative_to(path)} is there", others


def needs(layout: str) -> str:
    """Return a description of the files of a layout: the first line of its module."""
    return (LAYOUTS[layout].__doc__ or layout).partition("\n")[0]


def find_scenes(path: Path) -> tuple[list[SceneFolder], list[str]]:
    """Find the folder itself or its subfolders that have a layout, and names of the others.

    Where no subfolder has one, theirs are tried (MultiCamVideo's train/f24_aperture5/scene1).

    Raises:
      ValueError: none has one.
    """
    folders = [path]
    for _ in range(MOST_LEVELS):
        scenes = []
        unknown = []
        for folder in folders:
            try:
                scenes.append((folder, *detect(folder)))
            except ValueError:
                unknown.append(str(folder.relative_to(path)))
        if scenes:
            return scenes, unknown
        folders = [
            f for above in folders for f in sorted(above.iterdir()) if f.is_dir()
        ]
    return [(path, *detect(path))], []


def read_captures(path: Path, layout: str, fps: float | None) -> list[Capture]:
    """Read the folder with the importer of that layout, on the clock of its sync.json.

    Raises:
      ValueError: naming the file or camera that does not fit, or for files whose tables are not of
        the layout's form at all.
    """
    # Absurd numbers are refused in words.
    with (
        damage_of(path, f"tables of {layout}: {needs(layout)}"),
        np.errstate(all="ignore"),
    ):
        return apply_sync(path, count_unused(LAYOUTS[layout].read(path, fps)))


def count_unused(captures: Sequence[Capture]) -> list[Capture]:
    """Return captures of one folder; the first notes how many files beside theirs have no pose.

    Those are the pictures in folders of pictures that are used, and the films likewise. Pictures of
    depth, masks and normals need no pose.
    """
    views = [view for each in captures for view in each.views]
    posed = [file for view in views for file in view.files]
    maps = {x for view in views for x in (*view.depth, *view.confidence, *view.masks)}
    notes = []
    for kind, endings in (
        ("pictures", media_files.PICTURES),
        ("films", media_files.VIDEOS),
    ):
        used = {x for x in posed if x.suffix.lower() in endings}
        places = sorted({x.parent for x in used})
        there = [x for place in places for x in media_files.listed(place, endings)]
        there = [x for x in there if x in used or not (x in maps or _is_map(x, used))]
        unused = [x for x in there if x not in used]
        if unused:
            ratio = f"{len(unused)} of {len(there)} {kind}"
            first = f"the first is {unused[0].name}"
            notes.append(f"{ratio} have no pose and are left out, {first}")
    first, *later = captures
    note = "; ".join(filter(None, [first.note, *notes]))
    return [first._replace(note=note), *later]


def _is_map(file: Path, pictures: Collection[Path]) -> bool:
    """Return whether a file is depth or normals of a picture, r_0_depth_0001.png of r_0.png."""
    named = re.fullmatch(r"(.+)_(depth|normal)(_\d+)?", file.stem)
    return bool(named) and file.with_stem(named[1]) in pictures


def apply_sync(path: Path, captures: list[Capture]) -> list[Capture]:
    """Return the captures on the clock that `path` declares, if it declares one.

    Raises:
      ValueError: a camera that is not there, or times that do not fit its frames or go
        back.
    """
    file = path / SYNC
    if not file.is_file():
        return captures
    table = load_json(file)
    names = {view.name for capture in captures for view in capture.views}
    unknown = sorted(set(table) - names)
    check_field(file, not unknown, f"cameras {unknown}", f"some of {sorted(names)}")
    return [
        capture._replace(
            views=tuple(_moved(view, table, file) for view in capture.views)
        )
        for capture in captures
    ]


def _moved(view: View, table: dict, file: Path) -> View:
    if view.name not in table:
        return view
    declared = table[view.name]
    where = f"{file}, {view.name}"
    times = view.timestamps
    if not isinstance(declared, list):
        return view._replace(timestamps=times - times[0] + numbers(declared, (), where))
    times = numbers(declared, times.shape, where)
    rises = (np.diff(times) > 0).all()
    check_field(where, rises, "times twice or going back", "increasing seconds")
    return view._replace(timestamps=times)


def require_inside(folder: Path, captures: Sequence[Capture]) -> None:
    """Refuse captures with a file outside of a folder, by `..`, an absolute path or a link.

    A stranger's table could name a private picture.

    Raises:
      ValueError: naming the first such file and where it lies.
    """
    root = folder.resolve()
    expected = "files in that folder (data import --follow-links takes others)"
    for view in (view for capture in captures for view in capture.views):
        for file in filter(
            None, (*view.files, *view.depth, *view.confidence, *view.masks)
        ):
            place = file.resolve()
            where = f"camera {view.name}, {file}"
            check_field(where, place.is_relative_to(root), place, expected)
