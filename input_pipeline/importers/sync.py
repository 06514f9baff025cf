"""Clocks beside any capture: when each film begins, or when each frame was taken.

    sync.json: {"cam01": 0.0, "cam02": 0.25, "cam03": [0.01, 0.05, 0.09]}

A number is the second on the common clock at which a film begins; a list holds the seconds of all
its frames, whatever the capture's own tables say of time. Films that are not named keep theirs.

    timestamps.csv: camera,frame,seconds
                    cam01,0,12.503
                    cam02,0,12.511

has a row for each frame of each camera that it names, in any order; frames count from 0, further
columns are not read.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.capture import Capture, View
from input_pipeline.opening import open_regular
from input_pipeline.plain_files import load_json, numbers

FILE = "sync.json"
TABLE = "timestamps.csv"
COLUMNS = ("camera", "frame", "seconds")


def apply_sync(path: Path, captures: list[Capture]) -> list[Capture]:
    """Return the captures on the clock that `path` declares; as they are where it declares none.

    Raises:
      ValueError: both files, a camera that is not there, or times that do not fit its frames or go
        back.
    """
    files = [path / name for name in (FILE, TABLE) if (path / name).is_file()]
    if not files:
        return captures
    if len(files) > 1:
        raise ValueError(f"{path}: found {FILE} and {TABLE}, expected one: move the other away")
    file = files[0]
    table = load_json(file) if file.name == FILE else read_timestamps(file)
    names = {view.name for capture in captures for view in capture.views}
    unknown = sorted(set(table) - names)
    if unknown:
        raise ValueError(f"{file}: found cameras {unknown}, expected some of {sorted(names)}")
    return [
        capture._replace(views=tuple(_moved(view, table, file) for view in capture.views))
        for capture in captures
    ]


def read_timestamps(file: Path) -> dict[str, list[float]]:
    """Return the seconds of all frames of each camera of a CSV table.

    Raises:
      ValueError: naming the file and line of what is missing, twice or no number, or the camera
        whose frames are not numbered from 0 on.
    """
    cameras: dict[str, dict[int, float]] = {}
    try:
        with io.TextIOWrapper(open_regular(file), encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, skipinitialspace=True)
            header = rows.fieldnames or ()
            if not set(COLUMNS) <= set(header):
                found = ", ".join(header) or "no header"
                raise ValueError(f"{file}: found {found}, expected columns {', '.join(COLUMNS)}")
            for row in rows:
                where = f"{file}, line {rows.line_num}"
                name, frame, seconds = _row(row, where)
                if frame in cameras.setdefault(name, {}):
                    raise ValueError(f"{where}: found frame {frame} of {name} twice, expected once")
                cameras[name][frame] = seconds
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: found no readable CSV ({error}), expected a table") from None
    for name, frames in cameras.items():
        missing = next((i for i in range(len(frames)) if i not in frames), None)
        if missing is not None:
            found = f"{len(frames)} frames of {name} without frame {missing}"
            raise ValueError(f"{file}: found {found}, expected a row for each from 0 on")
    return {name: [frames[i] for i in range(len(frames))] for name, frames in cameras.items()}


def _row(row: dict[str, Any], where: str) -> tuple[str, int, float]:
    name, frame, seconds = (row[column] for column in COLUMNS)
    if not name or not str(frame).strip().isdecimal():
        found = f"camera {name!r}, frame {frame!r}"
        raise ValueError(f"{where}: found {found}, expected a name and a number from 0 on")
    return name.strip(), int(frame), float(numbers(seconds, (), f"{where}, seconds"))


def _moved(view: View, table: dict, file: Path) -> View:
    if view.name not in table:
        return view
    declared = table[view.name]
    where = f"{file}, {view.name}"
    if not isinstance(declared, list):
        start = numbers(declared, (), where)
        return view._replace(timestamps=view.timestamps - view.timestamps[0] + start)
    if len(declared) != len(view.timestamps):
        found = f"times of {len(declared)} frames"
        raise ValueError(f"{where}: found {found}, expected {len(view.timestamps)}")
    times = numbers(declared, view.timestamps.shape, where)
    if not (np.diff(times) > 0).all():
        raise ValueError(f"{where}: found times twice or going back, expected increasing seconds")
    return view._replace(timestamps=times)
