"""The one door to files that are read: regular ones, and nothing else; and the one for damage.

The names in a folder are its owner's choice: links to files of the user, pipes that may never
begin, devices that never end, files of the kernel that are read by asking it.
"""

import contextlib
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

KERNEL = re.compile("/(proc|sys|dev(?!/shm/))/")

# 8192 x 8192: pictures of that size take a second and 700 MiB each.
MAX_PIXELS = 2**26
# The ratio of the sides of a picture: no camera makes strips.
MAX_SIDE_RATIO = 32


class FileRefusal(ValueError):
    """A path that is not opened: "PATH: found ..., expected ..."."""


def check_field(where: object, holds: object, found: object, expected: object) -> None:
    """Refuse what does not hold.

    Raises:
      ValueError: in the words of all of this package.
    """
    if not holds:
        raise ValueError(f"{where}: found {found}, expected {expected}")


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
    """Say in messages of errors where they arose.

    Raises:
      ValueError: what was raised in this context, behind `where`.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def open_regular(path: Path, most: float = math.inf) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
      FileRefusal: naming the path and what is there: no file, or one of more than `most` bytes.
    """
    if found := what_is_there(path):
        raise FileRefusal(f"{path}: found {found}, expected a file")
    size = path.stat().st_size
    if size > most:
        raise FileRefusal(f"{path}: found {size} bytes, expected at most {most}")
    return path.open("rb")


def read_regular(path: Path, most: float = math.inf) -> bytes:
    """Return the bytes of a regular file; errors as of `open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


def require_regular(path: Path) -> None:
    """Refuse a path that `open_regular` refuses, for libraries that open it themselves."""
    open_regular(path).close()


def what_is_there(path: Path) -> str:
    """Return in words what lies at a path that is no regular file; empty for one that is."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError) as error:
        # ValueError comes from NUL in a name.
        return str(getattr(error, "strerror", None) or error)
    place = path.resolve()
    if KERNEL.match(str(place)):
        return f"a file of the kernel ({place})"
    if stat.S_ISDIR(mode):
        return "a folder"
    if not stat.S_ISREG(mode):
        return "a pipe, a socket or a device"
    return "" if os.access(path, os.R_OK) else "no permission to read it"


def check_frame_size(path: Path, rows: int, columns: int) -> None:
    """Refuse pictures that take more memory and time than they are worth here.

    Raises:
      FileRefusal: naming the file.
    """
    if rows * columns > MAX_PIXELS:
        expected = f"at most {MAX_PIXELS:,} of them: make them smaller"
    elif max(rows, columns) > MAX_SIDE_RATIO * min(rows, columns):
        expected = f"a side of at most {MAX_SIDE_RATIO} times the other"
    else:
        return
    raise FileRefusal(f"{path}: found pictures of {columns}x{rows} pixels, expected {expected}")


class Damage(ValueError):
    """A file that a library cannot read: "PATH: found ..., expected ..."."""


@contextlib.contextmanager
def damage_of(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a library raises for a damaged file in this context into one line.

    Raises:
      Damage: naming the file, what the library said and what was expected.
    """
    try:
        yield
    except Exception as error:
        # What is in the words of this package needs no others.
        text = str(error)
        if isinstance(error, ValueError) and ": found " in text and ", expected " in text:
            raise
        reason = str(error) or type(error).__name__
        raise Damage(f"{path}: found {reason}, expected {expected}") from error
