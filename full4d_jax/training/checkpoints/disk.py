"""Errors of the disk as `InputError`s: full, unwritable, or a bucket without its library."""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator

import fsspec

from full4d_jax.session.errors import InputError

ERRORS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


@contextlib.contextmanager
def disk_errors(
    where: str | os.PathLike[str], remains: Callable[[], str] = lambda: ""
) -> Iterator[None]:
    """Turn errors of the disk in this context into an `InputError`.

    Args:
      where: the folder that is written to.
      remains: says, after an error, which files are still complete.

    Raises:
      InputError: the system refused to write.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        left = f"{text}; " if (text := remains()) else ""
        do = f"{left}make room or give permission, then give the same command again"
        raise InputError("output folder", str(where), reason, "a folder with room", do) from error


def check_file_system(place: str) -> None:
    """Refuse a URL whose file system no installed library knows, without contacting it.

    Raises:
      InputError: naming the library, where there is one.
    """
    scheme, is_url, _ = place.partition("://")
    if is_url:
        try:
            fsspec.get_filesystem_class(scheme)
        except (ImportError, ValueError) as error:
            found, expected = f"no library for it ({error})", "a folder, or a URL such as gs://"
            do = "install it, or keep checkpoints in a folder"
            raise InputError("training.checkpoints", place, found, expected, do) from None


def _reason(error: BaseException) -> str | None:
    """Return the system's reason if the disk failed; tensorstore has its number in the text."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (said := re.search(r"os_error_code='(\d+)'", str(error))):
        number = int(said[1])
    return os.strerror(number) if number in ERRORS else None
