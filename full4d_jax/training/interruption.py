"""SIGTERM, by which schedulers announce that they take the machine back."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point


@contextlib.contextmanager
def termination() -> Iterator[Callable[[int], bool]]:
    """A question to ask after every step: whether to save now and stop.

    Of several processes each gets its signal at another step, so they agree on one through
    `jax.distributed`, whose own handler takes the signal where it is initialized.
    """
    if jax.distributed.is_initialized():
        yield reached_preemption_sync_point
    elif threading.current_thread() is not threading.main_thread():  # no handlers for others
        yield lambda _: False
    else:
        asked = threading.Event()
        before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
        try:
            yield lambda _: asked.is_set()
        finally:
            signal.signal(signal.SIGTERM, before)


def resume_command() -> str:
    """The command that started this process, which goes on where it stops."""
    is_ours = Path(sys.argv[0]).name == "full4d"
    return shlex.join(["full4d", *sys.argv[1:]] if is_ours else sys.orig_argv)
