"""Environments, streams and signals: one line, or the same work."""

import gc
import io
import os
import signal
import sys
import time

import pytest

from full4d_jax.cli import main
from full4d_jax.session.machine import stop_on_signals, tolerate_streams

SECONDS = 20  # after which a signal that did not arrive is a failure, not a wait


@pytest.fixture(autouse=True)
def default_signals():
    """Signals as in a terminal: whoever starts the tests with nohup has SIGHUP ignored."""
    numbers = signal.SIGTERM, signal.SIGHUP
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_while_garbage_is_collected_are_not_lost(number):
    """Exceptions of garbage collection, such as those of jax's callback, are only printed."""
    came = []

    def signalled(phase: str, info: dict) -> None:
        if not came:
            came.append(phase)
            os.kill(os.getpid(), number)

    def work() -> None:
        gc.collect(0)  # what is young: the tests' whole heap takes half a second
        assert came
        time.sleep(SECONDS)

    # A shell's background jobs ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.callbacks.append(signalled)
    try:
        with pytest.raises(KeyboardInterrupt), stop_on_signals():
            work()
    finally:
        gc.callbacks.remove(signalled)
        signal.signal(signal.SIGINT, before)


def test_a_stopped_command_says_how_to_go_on(monkeypatch, capsys):
    def stop(argv: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(SECONDS)

    monkeypatch.setattr("full4d_jax.cli._dispatch", stop)
    assert main(["run"]) == 128 + signal.SIGTERM
    said = capsys.readouterr().err
    assert "stopped by SIGTERM" in said
    assert "run the same command again" in said


def test_streams_that_are_closed_or_ascii_do_not_end_a_command(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", None)
    tolerate_streams()
    print("été")
    print("nothing", file=sys.stderr)
    assert sys.stderr is not None
    sys.stderr.close()
    assert narrow.buffer.getvalue() == b"\\xe9t\\xe9\n"


def test_the_traceback_is_shown_on_request(tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    words = ["convert", "splats", f"{tmp_path}/a.npz", f"{tmp_path}/b.ply"]
    assert main(words) == 2
    stderr = capsys.readouterr().err
    assert "Traceback" not in stderr
    assert len(stderr.splitlines()) == 1
    assert main([*words, "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
