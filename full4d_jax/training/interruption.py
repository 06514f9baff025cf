"""SIGTERM, which schedulers send before they take a machine back, and SIGHUP, as terminals do."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point

ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def termination() -> Iterator[Callable[[int], bool]]:
    """Yield a function of the step, to be called after it: whether to save now and stop.

    Several processes get their signals at different steps. They agree on one step through
    `jax.distributed`, whose own handler receives the signal once it is initialized.
    """
    if jax.distributed.is_initialized():
        yield reached_preemption_sync_point
    elif threading.current_thread() is not threading.main_thread():  # others may not set handlers
        yield lambda _: False
    else:
        asked = threading.Event()
        before = {number: signal.getsignal(number) for number in ENDING}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, lambda *_: asked.set())
        try:
            yield lambda _: asked.is_set()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def resume_command() -> str:
    """Return the command that started this process; given again, it resumes the run."""
    is_ours = Path(sys.argv[0]).name == "full4d"
    return shlex.join(["full4d", *sys.argv[1:]] if is_ours else sys.orig_argv)
