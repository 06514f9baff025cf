"""Record3D: an unzipped .r3d file of an iPhone or iPad, one camera with measured depth.

`metadata` (JSON) holds a pose a picture, [qx qy qz qw tx ty tz] of camera to world in OpenGL axes
and metres, the lens `K` by columns for pictures of w x h pixels, or one a picture in
`perFrameIntrinsicCoeffs` (fx fy cx cy), and the size dw x dh of depth. rgbd/N.depth are real
numbers, metres along the axis, packed by LZFSE; confidences (N.conf) are not read. The app has no
description of its own; this follows https://github.com/nerfstudio-project/nerfstudio
(process_data/record3d_utils.py) and https://github.com/codekansas/usa (tasks/datasets/r3d.py).
"""

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from input_pipeline.cameras import rigid
from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import to_opencv
from input_pipeline.footage import listed, natural
from input_pipeline.plain_files import field, load_json, numbers

NEEDS = "metadata and rgbd/N.jpg, rgbd/N.depth, of an unzipped .r3d file"


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    fits = (path / "metadata").is_file() and (path / "rgbd").is_dir()
    return fits, "metadata and rgbd are there" if fits else "no metadata or no rgbd"


def read(path: Path, fps: float | None) -> list[Capture]:
    """Return one capture of one view.

    Raises:
      ValueError: naming the field of `metadata` that is missing or impossible.
    """
    where = str(path / "metadata")
    table = load_json(path / "metadata")
    pictures = sorted(listed(path / "rgbd", {".jpg"}), key=natural)
    count = len(pictures)
    poses = numbers(field(table, "poses", where), (count, 7), f"{where}, poses")
    lengths = np.linalg.norm(poses[:, :4], axis=1)
    if not count or (np.abs(lengths - 1) > 0.01).any():
        found = f"lengths from {lengths.min():.3g} to {lengths.max():.3g}" if count else "none"
        raise ValueError(f"{where}, poses: found {found}, expected rotations of length 1")
    notes = []
    if table.get("perFrameIntrinsicCoeffs"):
        coefficients = table["perFrameIntrinsicCoeffs"]
        lenses = numbers(coefficients, (count, 4), f"{where}, perFrameIntrinsicCoeffs")
        fx, fy, cx, cy = np.median(lenses, axis=0)
        spread = np.ptp(lenses[:, 0]) / fx
        if spread > 0.001:
            notes.append(f"the focal length varies by {spread:.1%}; its median is taken")
    else:
        fx, fy, cx, cy = numbers(field(table, "K", where), (9,), f"{where}, K")[[0, 4, 6, 7]]
    sizes = [_size(table, names, where) for names in (("h", "w"), ("dh", "dw"))]
    if table.get("frameTimestamps"):
        times = numbers(table["frameTimestamps"], (count,), f"{where}, frameTimestamps")
        times = times - times[0]
    else:
        rate = fps or float(numbers(field(table, "fps", where), (), f"{where}, fps"))
        if rate <= 0:
            raise ValueError(f"{where}, fps: found {rate:g}, expected a number above 0")
        times = np.arange(count) / rate
    view, note = make_view(
        "camera",
        pictures,
        np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        to_opencv(rigid(Rotation.from_quat(poses[:, :4]).as_matrix(), poses[:, 4:]), "opengl"),
        size=sizes[0],
        timestamps=times,
        depth=[picture.with_suffix(".depth") for picture in pictures],
    )
    view = view._replace(depth_size=sizes[1])
    return [make_capture(path.name, [(view, note)], unit=1.0, source="Record3D", notes=notes)]


def _size(table: object, names: tuple[str, str], where: str) -> tuple[int, int]:
    """Return rows and columns."""
    rows, columns = (numbers(field(table, name, where), (), f"{where}, {name}") for name in names)
    if not (1 <= rows <= 2**14 and 1 <= columns <= 2**14):
        found = f"{rows:g} and {columns:g}"
        raise ValueError(f"{where}, {names[0]}, {names[1]}: found {found}, expected 1 to 16384")
    return int(rows), int(columns)
