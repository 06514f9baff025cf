"""The one door to files that are read: regular ones, and nothing else.

The names in a folder are its owner's choice: links to files of the user, pipes that may never
begin, devices that never end, files of the kernel that are read by asking it. A path is opened
without waiting, and what was opened is looked at, not its name.
"""

import math
import os
import stat
from pathlib import Path
from typing import BinaryIO

KERNEL = (Path("/proc"), Path("/sys"), Path("/dev"))
SHARED_MEMORY = Path("/dev/shm")  # an ordinary file system


class FileRefusal(ValueError):
    """A path that is not opened: "PATH: found ..., expected ..."."""


def open_regular(path: Path, most: float = math.inf) -> BinaryIO:
    """Open a regular file to read its bytes.

    Raises:
      FileRefusal: naming the path and what is there: no file, or one of more than `most` bytes.
    """
    if found := _of_the_kernel(path):
        raise FileRefusal(f"{path}: found {found}, expected a file")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileRefusal(f"{path}: found no file, expected a file") from None
    except (OSError, ValueError) as error:  # the latter for NUL in a name
        reason = getattr(error, "strerror", None) or error
        raise FileRefusal(f"{path}: found {reason}, expected a file that opens") from None
    status = os.fstat(descriptor)
    if found := _irregular(status.st_mode):
        os.close(descriptor)
        raise FileRefusal(f"{path}: found {found}, expected a file")
    if status.st_size > most:
        os.close(descriptor)
        raise FileRefusal(f"{path}: found {status.st_size} bytes, expected at most {most}")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, most: float = math.inf) -> bytes:
    """Return the bytes of a regular file; errors as of `open_regular`."""
    with open_regular(path, most) as file:
        return file.read()


def require_regular(path: Path, most: float = math.inf) -> None:
    """Refuse a path that `open_regular` refuses, for libraries that open it themselves."""
    open_regular(path, most).close()


def what_is_there(path: Path) -> str:
    """Return in words what lies at a path that is no regular file; empty for one that is."""
    try:
        return _of_the_kernel(path) or _irregular(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)


def _of_the_kernel(path: Path) -> str:
    """Return in words that a path leads to a file of the kernel; empty where it does not."""
    try:
        place = path.resolve()
    except (OSError, RuntimeError, ValueError):  # a circle of links, NUL in a name: opening says so
        return ""
    inside = any(place.is_relative_to(folder) for folder in KERNEL)
    if not inside or place.is_relative_to(SHARED_MEMORY):
        return ""
    return f"a file of the kernel ({place})" if place.exists() else ""


def _irregular(mode: int) -> str:
    """Return in words what a file is by its mode; empty for a regular one."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe or a socket" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "a device"
