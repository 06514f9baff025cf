"""Stray Scanner: the folder of an iPhone or iPad with LiDAR, one camera with depth by ARKit.

rgb.mp4 has a frame a row of odometry.csv: timestamp (seconds), frame (the number in the names of
depth/ and confidence/), the camera's place x y z (metres) and rotation qx qy qz qw, camera to world
in OpenCV axes, and in newer versions the lens fx fy cx cy (pixels of the film).
camera_matrix.csv is the lens of the last frame. Depth is in millimetres, of fewer pixels than the
film, of the same view; it is unknown where confidence is 0 (of 0, 1 and 2), and for a frame without
these pictures, of which some may be lost. Format:
https://github.com/strayrobots/scanner (docs/format.md, Helpers/OdometryEncoder.swift).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import from_quaternions, to_opencv
from input_pipeline.footage import picture_size
from input_pipeline.lenses import median_lens
from input_pipeline.opening import read_regular
from input_pipeline.plain_files import numbers
from input_pipeline.video_files import frame_times

FILES = ("rgb.mp4", "odometry.csv", "camera_matrix.csv")
FOLDERS = ("depth", "confidence")
NEEDS = "rgb.mp4, odometry.csv, camera_matrix.csv, depth/N.png and confidence/N.png"
COLUMNS = ("timestamp", "frame", "x", "y", "z", "qx", "qy", "qz", "qw")
LENS = ("fx", "fy", "cx", "cy")


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    missing = [name for name in FILES if not (path / name).is_file()]
    missing += [name for name in FOLDERS if not (path / name).is_dir()]
    return (False, f"no {', '.join(missing)}") if missing else (True, f"{NEEDS} are there")


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of one view.

    Raises:
      ValueError: a column or a number is not what it should be, the film has more frames than
        there are poses, many pictures of depth are missing, or the lens is of a film of another
        size.
    """
    millimetres = 0.001
    del fps  # the table has times
    film = path / "rgb.mp4"
    table = _odometry(path / "odometry.csv")
    count = len(frame_times(film))
    rows = len(table["timestamp"])
    if count > rows:
        counts = f"{rows} poses, and {count} frames of rgb.mp4"
        raise ValueError(f"{path / 'odometry.csv'}: found {counts}, expected a pose a frame")
    notes = [f"{rows - count} of {rows} poses are later than the film"] if rows > count else []
    table = {name: column[:count] for name, column in table.items()}
    if set(LENS) <= set(table):
        lens, lens_note = median_lens(
            np.stack([table[name] for name in LENS], 1), f"{path / 'odometry.csv'}, lens"
        )
        notes.append(lens_note)
    else:
        file = path / "camera_matrix.csv"
        lens = numbers(_table(file), (3, 3), str(file))
    _check_size(path, lens, picture_size(film))
    wrong = [number for number in table["frame"] if number not in range(10**6)]
    if wrong:
        found = f"{wrong[0]:g}, expected a whole number below 1,000,000"
        raise ValueError(f"{path / 'odometry.csv'}, frame: found {found}")
    names = [f"{int(number):06}.png" for number in table["frame"]]
    depth, confidence, lost_note = _depth(path, names)
    notes.append(lost_note)
    rotations = np.stack([table[name] for name in ("qx", "qy", "qz", "qw")], 1)
    places = np.stack([table[name] for name in ("x", "y", "z")], 1)
    to_world = from_quaternions(rotations, places, str(path / "odometry.csv"))
    view = make_view(
        "camera",
        [film],
        lens,
        to_opencv(to_world, "opencv_c2w"),
        timestamps=table["timestamp"] - table["timestamp"][0],
        depth=depth,
        confidence=confidence,
        depth_scale=millimetres,
    )
    return [make_capture(path.name, [view], unit=1.0, source="Stray Scanner", notes=notes)]


def _odometry(file: Path) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the columns by name."""
    header, *rows = _table(file)
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        columns = ", ".join(header)[:80] or "nothing"
        raise ValueError(f"{file}: found {columns}, expected columns {', '.join(COLUMNS)}")
    if not rows:
        raise ValueError(f"{file}: found no pose, expected a row a frame")
    named_rows = [dict(zip(header, row, strict=False)) for row in rows]
    return {
        name: numbers([row.get(name) for row in named_rows], (len(rows),), f"{file}, {name}")
        for name in (*COLUMNS, *LENS)
        if name in header
    }


def _depth(path: Path, names: list[str]) -> tuple[list[Path | None], list[Path | None], str]:
    """Return a frame's pictures of depth and confidence, None where one is lost, and a note.

    Raises:
      ValueError: many are lost.
    """
    most_lost = 0.1  # of the frames, at most, without a picture of depth
    most_names = 5  # of lost pictures, that a message shows
    pairs = [(path / "depth" / name, path / "confidence" / name) for name in names]
    is_lost = [not all(picture.is_file() for picture in pair) for pair in pairs]
    depth = [None if lost else pair[0] for pair, lost in zip(pairs, is_lost, strict=True)]
    confidence = [None if lost else pair[1] for pair, lost in zip(pairs, is_lost, strict=True)]
    if not any(is_lost):
        return depth, confidence, ""
    lost_names = [name for name, lost in zip(names, is_lost, strict=True) if lost]
    shown = ", ".join(lost_names[:most_names]) + ", ..." * (len(lost_names) > most_names)
    share = f"{len(lost_names)} of {len(names)} frames"
    if len(lost_names) > most_lost * len(names):
        where = f"{shown} in depth/ or confidence/, of {share}"
        expected = f"at most {most_lost:.0%} of them lost"
        raise ValueError(f"{path}, files: found no {where}, expected {expected}")
    return depth, confidence, f"depth of {share} is unknown, whose pictures are missing: {shown}"


def _table(file: Path) -> list[list[str]]:
    """Return the cells of a table, a header or none before the others."""
    try:
        text = read_regular(file, 2**28).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file}: found no text, expected a table") from None
    lines = [line.split(",") for line in text.splitlines() if line.strip()]
    return [[cell.strip() for cell in line] for line in lines] or [[]]


def _check_size(path: Path, lens: Float[np.ndarray, "3 3"], size: tuple[int, int]) -> None:
    """Refuse a lens that is of a film of another size: nothing else in the folder shows it."""
    most_off_centre = 0.1  # of the film's sides, at most, from its middle to the lens's centre
    height, width = size
    x = lens[0, 2]
    y = lens[1, 2]
    if np.abs(np.array([x / width, y / height]) - 0.5).max() > most_off_centre:
        off_centre = f"the lens's centre at {x:.0f}, {y:.0f} of a film of {width}x{height}"
        raise ValueError(
            f"{path}: found {off_centre}, expected it in the middle, of rgb.mp4 as recorded"
        )
