"""What a command needs of the machine and its environment, named in one line where it is missing.

Memory that a process may address, flags of XLA, platforms of jax, streams, and signals that end it.
"""

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
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


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end: it ends as after Ctrl-C, and leaves no half file."""

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
    """Print what a stream cannot encode as escapes, and nothing where a stream is closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # The parent process has closed it.
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            # A file may have become a pipe meanwhile.
            with contextlib.suppress(OSError):
                stream.reconfigure(errors="backslashreplace")


def check_machine() -> None:
    """Refuse an environment in which libraries would end the process without a word.

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
    tried = subprocess.run([sys.executable, "-c", START], capture_output=True, check=False)
    if tried.returncode:
        errors = tried.stderr.decode(errors="replace")
        fatal = re.search(r"^F.*?\] *(.*)", errors, re.MULTILINE)
        expected = f"flags that jax starts with ({fatal[1] if fatal else errors[-200:]:.200})"
        raise InputError("environment", "XLA_FLAGS", flags, expected, CORRECT)


def machine_error(error: Exception) -> InputError | None:
    """Return an error of the machine in words: no memory, no such platform; None for any other."""
    text = str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        line = (text or "MemoryError").splitlines()[0]
        found = f"too little of it ({line:.200})"
        do = "ask for less: smaller pictures, fewer views, frames or Gaussians"
        return InputError("memory", "of this machine", found, "enough for this command", do)
    platforms = os.environ.get("JAX_PLATFORMS")
    _, unable, words = text.partition("Unable to initialize backend ")
    if not (platforms and unable):
        return None
    expected = f"platforms that jax has here ({words.splitlines()[0]})"
    return InputError("environment", "JAX_PLATFORMS", platforms, expected, CORRECT)
