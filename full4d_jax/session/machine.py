"""Requirements on the machine and its environment; one line names each that is missing.

Room on the disk, memory that a process may address, flags of XLA, platforms of jax, streams; and
signals that end it.
"""

import contextlib
import errno
import logging
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from full4d_jax.session.errors import InputError

# The smallest command takes 2.3 GiB of addresses on two cores, of which .5 GiB are used. With less,
# libraries end the process, or wait for ever for a thread that did not start.
LEAST_ADDRESSES = 3 * 2**30
ENDING = (signal.SIGTERM, signal.SIGHUP)
CORRECT = "correct the variable, or unset it"
# Starts jax on the processor, which is enough to read the flags.
START = "import os; os.environ['JAX_PLATFORMS'] = 'cpu'; import jax; jax.devices()"
# Of a disk: full, not writable, a folder where a file belongs.
ERRORS = (
    *(
        errno.EACCES,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EISDIR,
        errno.EIO,
        errno.ENAMETOOLONG,
    ),
    *(errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS),
)


class Stopped(KeyboardInterrupt):
    """A signal to end this process: it ends as after Ctrl-C, and leaves no half file."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(signal.Signals(number).name)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise `Stopped` in this context where SIGTERM or SIGHUP would end the process.

    A signal that is ignored, as under nohup, stays so. One that comes while Python collects garbage
    or deletes an object, where no exception gets out, is sent again, Ctrl-C too.
    """
    # Other threads may not set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    process = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        # A worker that was forked has no files to keep.
        if os.getpid() != process:
            os._exit(128 + number)
        raise Stopped(number)

    tell_lost = sys.unraisablehook

    def send_again(lost: "sys.UnraisableHookArgs") -> None:
        error = lost.exc_value
        if not isinstance(error, KeyboardInterrupt):
            tell_lost(lost)
            return
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        # Not from here, for what is raised here is lost, too.
        soon_seconds = 0.05
        threading.Timer(soon_seconds, os.kill, (os.getpid(), number)).start()

    ours = [x for x in ENDING if signal.getsignal(x) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    sys.unraisablehook = send_again
    try:
        yield
    finally:
        sys.unraisablehook = tell_lost
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def tolerate_streams() -> None:
    """Print each line at once, also to files and pipes, and nothing to a closed stream.

    Characters that a stream cannot encode are printed as escapes.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # The parent process has closed it.
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            # A file may have become a pipe meanwhile.
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace", line_buffering=True)


def check_machine() -> None:
    """Refuse an environment in which libraries would end the process without a message.

    Raises:
      InputError: naming the limit or the variable.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if 0 < limit < LEAST_ADDRESSES:
        found = f"{limit / 2**30:.1f} GiB that a process may address"
        expected = f"at least {LEAST_ADDRESSES / 2**30:.0f} GiB"
        do = "raise it: ulimit -v unlimited"
        raise InputError("environment", "ulimit -v", found, expected, do)
    flags = os.environ.get("XLA_FLAGS")
    # Where jax is started already, it has read them.
    if not flags or "jax" in sys.modules:
        return
    # XLA ends a process for a wrong flag, so that they are tried in another one.
    tried = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, check=False
    )
    if tried.returncode:
        errors = tried.stderr.decode(errors="replace")
        fatal = re.search(r"^F.*?\] *(.*)", errors, re.MULTILINE)
        reason = fatal[1] if fatal else errors[-200:]
        expected = f"flags that jax starts with ({reason:.200})"
        raise InputError("environment", "XLA_FLAGS", flags, expected, CORRECT)


def machine_error(error: Exception) -> InputError | None:
    """Return an error of the machine in words: no memory, no such platform; None for any other."""
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        line = (text or "MemoryError").splitlines()[0]
        found = f"too little of it ({line:.200})"
        do = "ask for less: smaller pictures, fewer views, frames or Gaussians"
        return InputError("memory", "of this machine", found, "more", do)
    platforms = os.environ.get("JAX_PLATFORMS")
    _, unable, words = text.partition("Unable to initialize backend ")
    if not (platforms and unable):
        return None
    expected = f"platforms that jax has here ({words.splitlines()[0]})"
    return InputError("environment", "JAX_PLATFORMS", platforms, expected, CORRECT)


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
      where: the folder that was written to; by default the file that the error names.
      remains: says which files are still complete.
    """
    reason = _reason(error)
    if not reason:
        return None
    # 2: the new name, of a file that is renamed.
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    what = "output folder" if where else "output"
    again = (
        "make room, give permission or another name, then give the same command again"
    )
    do = "; ".join(filter(None, (remains(), again)))
    expected = "a place with room and permission"
    place = where or str(named or "of the output")
    return InputError(what, place, reason, expected, do)


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
