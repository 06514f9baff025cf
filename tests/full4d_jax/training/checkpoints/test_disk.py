"""A disk that is full, and a folder that may not be written to, lose nothing that was saved."""

import contextlib
import itertools
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny_run import batches, first, lines, same, short

from full4d_jax.session.errors import InputError

pytestmark = [
    pytest.mark.usefixtures("orbax_leftovers"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SAVED, STEPS = 3, 6


def begin_at(out: Path, end: int):
    """Train the first steps, as if stopped after them; returns the checkpoint's state."""

    def data(start):
        yield from itertools.islice(batches(start), end - start)
        raise EOFError

    with pytest.raises(EOFError):
        short(out, data=data, steps=STEPS, checkpoint_every=1, log_every=1)
    return newest(out)


def newest(out: Path):
    """Read with Orbax alone: a second `Checkpoints` would clean up while a run's does."""
    steps = [int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit()]
    path = out / "checkpoints" / str(max(steps)) / "state"
    return ocp.StandardCheckpointer().restore(path, first())


def goes_on(out: Path, saved, straight: Path) -> None:
    """Nothing that was saved is lost, and the run ends as if nothing had happened."""
    assert int(saved.step) == SAVED
    assert same(newest(out), saved)
    state, _ = short(out, steps=STEPS, checkpoint_every=1, log_every=1)
    expected, _ = short(straight, steps=STEPS, checkpoint_every=1, log_every=1)
    assert same(state, expected)
    assert lines(out) == lines(straight)


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
    out = tmp_path / "out"
    saved = begin_at(out, SAVED)
    told = rf"File too large.*the newest complete one is {SAVED}; make room.*the same command"
    with largest_file(20_000), pytest.raises(InputError, match=told):
        short(out, steps=STEPS, checkpoint_every=1, log_every=1)
    goes_on(out, saved, tmp_path / "straight")


def fill(path: Path) -> None:
    """Write until there is no room."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def test_a_full_disk(tmp_path):
    out = tmp_path / "disk"
    out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", out]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a small disk")
    try:
        saved = begin_at(out, SAVED)
        fill(out / "other")
        with pytest.raises(InputError, match=r"No space left on device.*make room"):
            short(out, steps=STEPS, checkpoint_every=1, log_every=1)
        os.truncate(out / "other", (out / "other").stat().st_size - 80_000)  # for all but a state
        told = rf"No space left on device.*the newest complete one is {SAVED}; make room"
        with pytest.raises(InputError, match=told):
            short(out, steps=STEPS, checkpoint_every=1, log_every=1)
        (out / "other").unlink()
        goes_on(out, saved, tmp_path / "straight")
    finally:
        subprocess.run(["umount", out], check=True)


PROGRAM = f"""
import sys
import jax
jax.config.update("jax_platforms", "cpu")
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tiny_run import batches, short
from full4d_jax.session.errors import InputError
out = Path(sys.argv[2])
def data(start):
    for step, batch in enumerate(batches(start), start):
        if step == {SAVED} + 1:  # while the checkpoint of this step is saved
            (out / "checkpoints").chmod(0o555)
        yield batch
try:
    short(out, data=data, steps={STEPS}, checkpoint_every=1, log_every=1)
except InputError as error:
    sys.exit(str(error))
"""
# Root, too, then may write only where permissions say so; needs an exec to take effect.
OBEYING = """
import ctypes, os, sys
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.slow
def test_a_folder_that_becomes_unwritable_during_a_save(tmp_path):
    out = tmp_path / "out"
    begin_at(out, SAVED)
    words = [sys.executable, "-c", OBEYING, "-c", PROGRAM, Path(__file__).parents[1], out]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    (out / "checkpoints").chmod(0o755)
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith(f"output folder: {out / 'checkpoints'}: found Permission denied")
    saved = newest(out)
    assert int(saved.step) >= SAVED
    assert f"the newest complete one is {int(saved.step)}" in message
    state, _ = short(out, steps=STEPS, checkpoint_every=1, log_every=1)
    expected, _ = short(tmp_path / "straight", steps=STEPS, checkpoint_every=1, log_every=1)
    assert same(state, expected)
    np.testing.assert_array_equal(state.params["x"], expected.params["x"])
