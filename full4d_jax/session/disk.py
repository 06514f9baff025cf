"""Errors of the disk as `InputError`s: full, not writable, a folder where a file belongs."""

import contextlib
import errno
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator

from full4d_jax.session.errors import InputError

ERRORS = (
    *(errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EISDIR, errno.EIO, errno.ENAMETOOLONG),
    *(errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS),
)


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
        if message := disk_error(error, str(where), remains):
            raise message from error
        raise


def disk_error(
    error: BaseException, where: str = "", remains: Callable[[], str] = lambda: ""
) -> InputError | None:
    """Return an error of the disk in words; None where the disk did not fail.

    Args:
      error: what was raised.
      where: the folder that was written to; left out, the file that the error names.
      remains: says which files are still complete.
    """
    reason = _reason(error)
    if not reason:
        return None
    # 2: the new name, of a file that is renamed.
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    what = "output folder" if where else "output"
    again = "make room, give permission or another name, then give the same command again"
    do = "; ".join(filter(None, (remains(), again)))
    expected = "a place with room and permission"
    return InputError(what, where or str(named or "of the output"), reason, expected, do)


def quiet_threads() -> None:
    """Silence tracebacks of disk errors in threads and in Orbax's logs.

    The main thread reports the error once.
    """
    original_hook = threading.excepthook

    def report_unless_disk_error(failed: threading.ExceptHookArgs) -> None:
        if not (failed.exc_value and _reason(failed.exc_value)):
            original_hook(failed)

    threading.excepthook = report_unless_disk_error
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_no_disk_error)


def _is_no_disk_error(record: logging.LogRecord) -> bool:
    """Return whether a line of a log is about something else than a failed disk."""
    failed = record.exc_info[1] if record.exc_info else Exception(record.getMessage())
    return not (failed and _reason(failed))


def _reason(error: BaseException) -> str:
    """Return the system's reason if the disk failed, else ""."""
    number = getattr(error, "errno", None)
    # Tensorstore has it in the text.
    if number is None and (code := re.search(r"os_error_code='(\d+)'", str(error))):
        number = int(code[1])
    return os.strerror(number) if number in ERRORS else ""
