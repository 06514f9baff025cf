"""Technicolor's light field of 4 x 4 cameras: cameras_parameters.txt, S_undist_FFFFF_CC.png.

Below a header, a row of the table is one camera, from number 0 on: focal length, centre (u v),
aspect ratio, skew, the rotation (w x y z) and translation of world to camera in OpenCV axes. The
frames are without distortion; the rows of the distorted ones have two numbers more. No page
describes it; this follows https://github.com/oppo-us-research/SpacetimeGaussians
(script/pre_technicolor.py), which hands the numbers to COLMAP as they are.
"""

import re
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.opening import read_regular
from input_pipeline.plain_files import numbers

FILE = "cameras_parameters.txt"
PICTURE = re.compile(r".+_undist_([0-9]+)_([0-9]+)\.png")
NEEDS = f"{FILE} and pictures SCENE_undist_00001_00.png, ..."
FPS = 30.0
COLUMNS = 12


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    fits = (path / FILE).is_file()
    return fits, f"{FILE} is there" if fits else f"no {FILE}"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture: the cameras of the table at all instants.

    Raises:
      ValueError: a row that is not a camera, a picture of none of them, two of one camera and
        instant, or cameras that lack frames of others.
    """
    where = str(path / FILE)
    try:
        text = read_regular(path / FILE).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{where}: found other bytes, expected text in UTF-8") from None
    # The first line is a header, whose words are not used.
    rows = [line.split() for line in text.splitlines()[1:]]
    rows = [row for row in rows if row]
    table = numbers(rows, (len(rows), COLUMNS), f"{where}, rows of undistorted frames")
    # Pictures of all cameras and instants lie in one folder: their names say whose they are.
    films: dict[int, dict[int, Path]] = {camera: {} for camera in range(len(table))}
    for file in sorted(path.iterdir()):
        name = PICTURE.fullmatch(file.name)
        if name is None:
            continue
        instant = int(name[1])
        camera = int(name[2])
        if camera not in films:
            raise ValueError(f"{file}: found camera {camera:02}, expected one of {len(table)} rows")
        if instant in films[camera]:
            first = films[camera][instant].name
            raise ValueError(f"{file}: found {first} beside it, expected the pictures of one scene")
        films[camera][instant] = file
    instants = sorted({instant for film in films.values() for instant in film})
    views = []
    for camera, film in films.items():
        # An instant that one camera lacks would shift its later frames against the others'.
        if not instants or len(film) < len(instants):
            have = f"{len(film)} of {len(instants)} pictures"
            raise ValueError(f"{path}, camera {camera:02}: found {have}, expected all")
        focal = table[camera, 0]
        u = table[camera, 1]
        v = table[camera, 2]
        aspect = table[camera, 3]
        skew = table[camera, 4]
        turn = table[camera, 5:9]
        # Only a unit quaternion is a rotation: another length shows that these are other columns.
        length = float(np.linalg.norm(turn))
        if abs(length - 1) > 0.01:
            raise ValueError(
                f"{where}, camera {camera:02}: found a rotation of length {length:.3g}, expected 1"
            )
        rotation = Rotation.from_quat(turn, scalar_first=True).as_matrix()
        view = make_view(
            f"{camera:02}",
            [film[instant] for instant in instants],
            np.array([[focal, skew, u], [0, aspect * focal, v], [0, 0, 1]]),
            rigid(rotation, table[camera, 9:]),
            timestamps=(np.array(instants) - instants[0]) / (fps or FPS),
        )
        views.append(view)
    return [make_capture(path.name, views, source="Technicolor light field")]
