"""Record3D: a .r3d file with metadata, rgbd/N.jpg and rgbd/N.depth.

It is of an iPhone or iPad, one camera with measured depth.

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

from input_pipeline import capture, conventions, media_files, plain_files
from input_pipeline.lenses import median_lens

# Of an archive, what is read.
MEMBER = re.compile(r"metadata|rgbd/[0-9]{1,9}\.(jpg|depth)")


def matches(path: Path) -> Path | None:
    """Return the folder that shows this layout."""
    folder = path / "rgbd"
    return folder if (path / "metadata").is_file() and folder.is_dir() else None


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
            expected = "metadata, rgbd/N.jpg and rgbd/N.depth"
            plain_files.check_field(path, matches(folder), "others", expected)
            yield folder
        except ValueError as error:
            error.args = (str(error).replace(str(folder), str(path)),)
            raise


def _extract(path: Path, folder: Path) -> None:
    """Write the members of an archive that are read.

    Raises:
      ValueError: naming the file, which is no whole archive, or claims too much.
    """
    # Of one member.
    most_bytes = 2**28
    with (
        plain_files.damage_of(path, "a whole .r3d file"),
        plain_files.open_regular(path) as file,
        ZipFile(file) as archive,
    ):
        plain_files.check_members(archive)
        written = os.fstat(file.fileno())
        for member in archive.infolist():
            if not MEMBER.fullmatch(member.filename):
                continue
            if member.file_size > most_bytes:
                raise ValueError(f"{member.filename} of {member.file_size} bytes")
            extracted = archive.extract(member, folder)
            os.utime(extracted, ns=(written.st_atime_ns, written.st_mtime_ns))


def read(path: Path, fps: float | None) -> list[capture.Capture]:
    """Return one capture of one view.

    Raises:
      ValueError: naming the field of `metadata` that is missing or impossible.
    """
    where = str(path / "metadata")
    table = plain_files.load_json(path / "metadata")
    pictures = media_files.listed(path / "rgbd", {".jpg"})
    count = len(pictures)
    poses = plain_files.field_numbers(table, "poses", (count, 7), where)
    place = f"{where}, poses"
    to_world = conventions.from_quaternions(poses[:, :4], poses[:, 4:], place)
    if table.get("perFrameIntrinsicCoeffs"):
        lenses = plain_files.field_numbers(
            table, "perFrameIntrinsicCoeffs", (count, 4), where
        )
    else:
        lenses = plain_files.field_numbers(table, "K", (9,), where)[None, [0, 4, 6, 7]]
    lens, lens_note = median_lens(lenses, f"{where}, lens")
    if table.get("frameTimestamps"):
        times = plain_files.field_numbers(table, "frameTimestamps", (count,), where)
        times = times - times[0]
    else:
        rate = fps or plain_files.field_number(table, "fps", where)
        times = np.arange(count) / rate
    sides = ("h", "w", "dh", "dw")
    h, w, depth_h, depth_w = (
        int(plain_files.field_number(table, side, where)) for side in sides
    )
    view = capture.make_view(
        "camera",
        pictures,
        lens,
        conventions.to_opencv(to_world, "opengl"),
        size=(h, w),
        timestamps=times,
        depth=[picture.with_suffix(".depth") for picture in pictures],
        depth_size=(depth_h, depth_w),
    )
    source = "Record3D"
    notes = [lens_note]
    return [
        capture.make_capture(path.name, [view], unit=1.0, source=source, notes=notes)
    ]
