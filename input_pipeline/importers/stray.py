"""Stray Scanner: rgb.mp4, odometry.csv, camera_matrix.csv, depth/N.png, confidence/N.png.

It is the folder of an iPhone or iPad with LiDAR, one camera with depth by ARKit.

rgb.mp4 has a frame a row of odometry.csv: timestamp (seconds), frame (the number in the names of
depth/ and confidence/), the camera's place x y z (metres) and rotation qx qy qz qw, camera to world
in OpenCV axes, and in newer versions the lens fx fy cx cy (pixels of the video).
camera_matrix.csv is the lens of the last frame. Depth is in millimetres, of fewer pixels than the
video, of the same view; it is unknown where confidence is 0 (of 0, 1 and 2), and for a frame
without these pictures, of which some may be lost. Format:
https://github.com/strayrobots/scanner (docs/format.md, Helpers/OdometryEncoder.swift).
"""

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float

from input_pipeline import capture, conventions, lenses, media_files, video_files
from input_pipeline.plain_files import check_field, numbers, read_regular

FILES = ("odometry.csv", "rgb.mp4", "camera_matrix.csv")
FOLDERS = ("depth", "confidence")
COLUMNS = ("timestamp", "frame", "x", "y", "z", "qx", "qy", "qz", "qw")
LENS = ("fx", "fy", "cx", "cy")
METRES_PER_MILLIMETRE = 0.001
# A file of each frame, None where it is lost.
Pictures = list[Path | None]
# Of the video's sides, at most, from its middle to the lens's centre.
MOST_OFF_CENTRE = 0.1


def matches(path: Path) -> Path | None:
    """Return a file that shows this layout."""
    files = all((path / name).is_file() for name in FILES)
    folders = all((path / name).is_dir() for name in FOLDERS)
    return path / FILES[0] if files and folders else None


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture of one view.

    Raises:
      ValueError: a column or a number is not what it should be, the video has more frames than
        there are poses, many pictures of depth are missing, or the lens is of a video of another
        size.
    """
    # The table has times.
    del fps
    video = path / "rgb.mp4"
    where = str(path / "odometry.csv")
    table = _odometry(path / "odometry.csv")
    count = len(video_files.frame_times(video))
    rows = len(table["timestamp"])
    found = f"{rows} poses, and {count} frames of rgb.mp4"
    check_field(where, count <= rows, found, "a pose a frame")
    table = {name: column[:count] for name, column in table.items()}

    def columns(*names: str) -> Float[np.ndarray, "n c"]:
        return np.stack([table[name] for name in names], 1)

    lens_note = ""
    if set(LENS) <= set(table):
        lens, lens_note = lenses.median_lens(columns(*LENS), f"{where}, lens")
    else:
        file = path / "camera_matrix.csv"
        lens = numbers([line.split(",") for line in _lines(file)], (3, 3), str(file))
    height, width = media_files.picture_size(video)
    x, y = lens[:2, 2]
    # Nothing else in the folder shows whether the lens is of a video of another size.
    is_central = (
        np.abs(np.array([x / width, y / height]) - 0.5).max() <= MOST_OFF_CENTRE
    )
    found = f"the lens's centre at {x:.0f}, {y:.0f} of a video of {width}x{height}"
    check_field(path, is_central, found, "it in the middle, of rgb.mp4 as recorded")
    names = [f"{int(n):06}.png" for n in table["frame"]]
    depth, confidence, lost_note = _depth(path, names)
    turns = columns("qx", "qy", "qz", "qw")
    to_world = conventions.from_quaternions(turns, columns("x", "y", "z"), where)
    view = capture.make_view(
        "camera",
        [video],
        lens,
        conventions.to_opencv(to_world, "opencv_c2w"),
        timestamps=table["timestamp"] - table["timestamp"][0],
        depth=depth,
        confidence=confidence,
        depth_scale=METRES_PER_MILLIMETRE,
    )
    late = ""
    if rows > count:
        late = f"{rows - count} of {rows} poses are later than the video"
    notes = [late, lens_note, lost_note]
    source = "Stray Scanner"
    return [
        capture.make_capture(path.name, [view], unit=1.0, source=source, notes=notes)
    ]


def _odometry(file: Path) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the columns by name."""
    table = csv.DictReader(_lines(file), skipinitialspace=True)
    header = table.fieldnames or []
    rows = list(table)
    found = ", ".join(header)[:80] or "nothing"
    expected = f"columns {', '.join(COLUMNS)}"
    check_field(file, set(COLUMNS) <= set(header), found, expected)
    return {
        name: numbers([row[name] for row in rows], (len(rows),), f"{file}, {name}")
        for name in (*COLUMNS, *LENS)
        if name in header
    }


def _depth(path: Path, names: list[str]) -> tuple[Pictures, Pictures, str]:
    """Return a frame's pictures of depth and confidence, None where one is lost, and a note.

    Raises:
      ValueError: many are lost.
    """
    # Of the frames, at most, without a picture of depth.
    most_lost = 0.1
    # Of lost pictures, that a message shows.
    most_names = 5
    pairs = [[path / folder / name for folder in FOLDERS] for name in names]
    whole = [pair if all(map(Path.is_file, pair)) else [None, None] for pair in pairs]
    depth, confidence = map(list, zip(*whole, strict=True))
    lost = [name for name, file in zip(names, depth, strict=True) if file is None]
    shown = ", ".join(lost[:most_names]) + ", ..." * (len(lost) > most_names)
    share = f"{len(lost)} of {len(names)} frames"
    found = f"no {shown} in depth/ or confidence/, of {share}"
    few = len(lost) <= most_lost * len(names)
    check_field(f"{path}, files", few, found, f"at most {most_lost:.0%} of them lost")
    note = f"depth of {share} is unknown, whose pictures are missing: {shown}"
    return depth, confidence, note if lost else ""


def _lines(file: Path) -> list[str]:
    return read_regular(file, 2**28).decode("utf-8-sig").splitlines()
