"""Record3D: a .r3d file of an iPhone or iPad, one camera with measured depth.

The file is a zip archive, which may have been unpacked. `metadata` (JSON) holds a pose a picture,
[qx qy qz qw tx ty tz] of camera to world in OpenGL axes and metres, the lens `K` by columns for
pictures of w x h pixels, or one a picture in `perFrameIntrinsicCoeffs` (fx fy cx cy), and the size
dw x dh of depth. rgbd/N.depth are real numbers, metres along the axis, packed by LZFSE; confidences
(N.conf) are not read. The app has no description of its own; this follows
https://github.com/nerfstudio-project/nerfstudio (process_data/record3d_utils.py) and
https://github.com/codekansas/usa (tasks/datasets/r3d.py).
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from input_pipeline.capture import Capture, make_capture, make_view
from input_pipeline.conventions import from_quaternions, to_opencv
from input_pipeline.footage import listed, natural
from input_pipeline.lenses import median_lens
from input_pipeline.opening import damage_of, open_regular
from input_pipeline.plain_files import check_members, field, load_json, numbers

NEEDS = "metadata and rgbd/N.jpg, rgbd/N.depth, of a .r3d file"
MEMBER = re.compile(r"metadata|rgbd/[0-9]{1,9}\.(jpg|depth)")  # of an archive, what is read


def matches(path: Path) -> tuple[bool, str]:
    """Return whether the folder has this layout, and why."""
    fits = (path / "metadata").is_file() and (path / "rgbd").is_dir()
    return fits, "metadata and rgbd are there" if fits else "no metadata or no rgbd"


def is_packed(path: Path) -> bool:
    """Return whether a path is that of a .r3d file, not of a folder."""
    return path.suffix.lower() == ".r3d" and not path.is_dir()


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the folder of a capture: the path itself, or a temporary one of a .r3d file's content.

    The files have the archive's time. Messages of errors name the archive in place of the folder.

    Raises:
      ValueError: the archive is damaged, too large, or one of something else.
    """
    if not is_packed(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="full4d-") as above:
        folder = Path(above) / path.name
        try:
            _extract(path, folder)
            fits, why = matches(folder)
            if not fits:
                raise ValueError(f"{path}: found {why}, expected {NEEDS}")
            yield folder
        except ValueError as error:
            error.args = (str(error).replace(str(folder), str(path)),)
            raise


def _extract(path: Path, folder: Path) -> None:
    """Write the members of an archive that are read.

    Raises:
      ValueError: naming the file, which is no whole archive, or claims too much.
    """
    most_bytes = 2**28  # of one member
    with (
        damage_of(path, "a whole .r3d file"),
        open_regular(path) as file,
        ZipFile(file) as archive,
    ):
        check_members(archive)
        written = os.fstat(file.fileno())
        for member in archive.infolist():
            if not MEMBER.fullmatch(member.filename):
                continue
            if member.file_size > most_bytes:
                raise ValueError(f"{member.filename} of {member.file_size} bytes")
            extracted = archive.extract(member, folder)
            os.utime(extracted, ns=(written.st_atime_ns, written.st_mtime_ns))


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
    if not count:
        raise ValueError(f"{where}, poses: found none, expected one a picture")
    to_world = from_quaternions(poses[:, :4], poses[:, 4:], f"{where}, poses")
    if table.get("perFrameIntrinsicCoeffs"):
        coefficients = table["perFrameIntrinsicCoeffs"]
        lenses = numbers(coefficients, (count, 4), f"{where}, perFrameIntrinsicCoeffs")
    else:
        lenses = numbers(field(table, "K", where), (9,), f"{where}, K")[None, [0, 4, 6, 7]]
    lens, lens_note = median_lens(lenses, f"{where}, lens")
    sizes = [_size(table, names, where) for names in (("h", "w"), ("dh", "dw"))]
    if table.get("frameTimestamps"):
        times = numbers(table["frameTimestamps"], (count,), f"{where}, frameTimestamps")
        times = times - times[0]
    else:
        rate = fps or float(numbers(field(table, "fps", where), (), f"{where}, fps"))
        if rate <= 0:
            raise ValueError(f"{where}, fps: found {rate:g}, expected a number above 0")
        times = np.arange(count) / rate
    view = make_view(
        "camera",
        pictures,
        lens,
        to_opencv(to_world, "opengl"),
        size=sizes[0],
        timestamps=times,
        depth=[picture.with_suffix(".depth") for picture in pictures],
        depth_size=sizes[1],
    )
    return [make_capture(path.name, [view], unit=1.0, source="Record3D", notes=[lens_note])]


def _size(table: object, names: tuple[str, str], where: str) -> tuple[int, int]:
    """Return rows and columns."""
    rows, columns = (numbers(field(table, name, where), (), f"{where}, {name}") for name in names)
    if not (1 <= rows <= 2**14 and 1 <= columns <= 2**14):
        found = f"{rows:g} and {columns:g}"
        raise ValueError(f"{where}, {names[0]}, {names[1]}: found {found}, expected 1 to 16384")
    return int(rows), int(columns)
