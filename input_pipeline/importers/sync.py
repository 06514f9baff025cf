"""Clocks beside any capture: when each film begins, or when each frame was taken.

    sync.json: {"cam01": 0.0, "cam02": 0.25, "cam03": [0.01, 0.05, 0.09]}

A number is the second on the common clock at which a film begins; a list holds the seconds of all
its frames, whatever the capture's own tables say of time. Films that are not named keep theirs.
"""

from pathlib import Path

import numpy as np

from input_pipeline.cameras import check_field
from input_pipeline.capture import Capture, View
from input_pipeline.plain_files import load_json, numbers

FILE = "sync.json"


def apply_sync(path: Path, captures: list[Capture]) -> list[Capture]:
    """Return the captures on the clock that `path` declares; as they are where it declares none.

    Raises:
      ValueError: a camera that is not there, or times that do not fit its frames or go
        back.
    """
    file = path / FILE
    if not file.is_file():
        return captures
    table = load_json(file)
    names = {view.name for capture in captures for view in capture.views}
    unknown = sorted(set(table) - names)
    check_field(f"{file}", not unknown, f"cameras {unknown}", f"some of {sorted(names)}")
    return [
        capture._replace(views=tuple(_moved(view, table, file) for view in capture.views))
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
    found = f"times of {len(declared)} frames"
    check_field(where, len(declared) == len(times), found, len(times))
    times = numbers(declared, times.shape, where)
    rises = (np.diff(times) > 0).all()
    check_field(where, rises, "times twice or going back", "increasing seconds")
    return view._replace(timestamps=times)
