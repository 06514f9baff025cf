"""A disk that is full, and a folder that may not be written to, lose nothing that was saved."""

import contextlib
import itertools
import logging
import resource
from pathlib import Path

import orbax.checkpoint as ocp
import pytest
from tiny_run import batches, first, lines, same, short

from full4d_jax.session.errors import InputError

pytestmark = [
    pytest.mark.usefixtures("orbax_leftovers"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SAVED = 3
EVERY = {"steps": 6, "checkpoint_every": 1, "log_every": 1}


def newest(out: Path):
    """Read with Orbax alone: a second `Checkpoints` would clean up while a run's does."""
    steps = [int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit()]
    path = out / "checkpoints" / str(max(steps)) / "state"
    return ocp.StandardCheckpointer().restore(path, first())


@contextlib.contextmanager
def largest_file(size: int):
    """No file of this process may grow beyond so many bytes.

    That holds for the file into which pytest catches stderr, too, and Orbax logs more than that
    where some package has given the root logger a handler.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_files_that_may_not_grow(tmp_path):
    def data(start):  # as if stopped after some steps
        yield from itertools.islice(batches(start), SAVED - start)
        raise EOFError

    out, straight = tmp_path / "out", tmp_path / "straight"
    with pytest.raises(EOFError):
        short(out, data=data, **EVERY)
    saved = newest(out)
    assert int(saved.step) == SAVED
    told = rf"File too large.*the newest complete one is {SAVED}; make room.*the same command"
    with largest_file(20_000), pytest.raises(InputError, match=told):
        short(out, **EVERY)
    assert same(newest(out), saved)
    state, _ = short(out, **EVERY)
    expected, _ = short(straight, **EVERY)
    assert same(state, expected)
    assert lines(out) == lines(straight)
