"""Safe writing of files: they appear when complete, and output follows no link."""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from input_pipeline.addresses import address_of, upload
from input_pipeline.plain_files import FileRefusal, require_regular


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file gets its name only when it is complete.

    No two programs write to one path, even where the same command runs twice, and what killed
    programs left is deleted. A link under that name is replaced, not followed. For an address the
    path is a temporary one, and the file is uploaded.
    """
    if address := address_of(path):
        with TemporaryDirectory(prefix="full4d-") as scratch:
            written = Path(scratch) / path.name
            yield written
            upload(written, address)
        return
    remove_leftovers(path)
    partial = path.with_name(_partial(path, f"{socket.gethostname()}-{os.getpid()}"))
    # Made anew, so that it is no link that somebody put there: libraries would follow it.
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        # Errors of writing do not name the file.
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, which appears only when it is complete."""
    with whole_file(path) as partial:
        partial.write_text(text)


def open_to_append(path: Path) -> int:
    """Return a descriptor of a file in an output folder, made where there is none, at its end.

    Raises:
      FileRefusal: naming the path, where a link or a device has that name.
    """
    require_own(path)
    if path.exists():
        require_regular(path)
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)


def make_own_folder(path: Path) -> Path:
    """Make a folder inside an output folder, and return it.

    Raises:
      FileRefusal: naming the path, where a link has that name.
    """
    require_own(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def require_own(path: Path) -> None:
    """Refuse a name in an output folder that is a link to another place.

    Raises:
      FileRefusal: naming the path.
    """
    if path.is_symlink():
        text = f"{path}: found a link, expected what it leads to, or nothing"
        raise FileRefusal(text)


def remove_leftovers(path: Path) -> None:
    """Delete what killed programs left of a file, and nothing that another may be writing.

    A program of this machine is gone when its number is free, one of another when it has written
    nothing for so long.
    """
    idle_seconds = 3600.0
    name = re.escape(_partial(path, "\0")).replace("\0", r"(.*)-(\d{1,9})")
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        if not (writer := re.fullmatch(name, left.name)):
            continue
        with contextlib.suppress(OSError):
            idle = time.time() - left.lstat().st_mtime > idle_seconds
            if idle if writer[1] != socket.gethostname() else not runs(int(writer[2])):
                left.unlink()


def runs(process: int) -> bool:
    """Return whether a process of this machine runs."""
    try:
        # Signal 0 only asks.
        os.kill(process, 0)
    except OSError as error:
        # A process of somebody else runs, too.
        return not isinstance(error, ProcessLookupError)
    return True


def _partial(path: Path, writer: str) -> str:
    """Return the name of a file that `writer` has begun; libraries go by its ending."""
    return f".{path.stem}.partial-{writer}{path.suffix}"
