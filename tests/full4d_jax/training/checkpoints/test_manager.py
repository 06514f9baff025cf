"""Checkpoints: what they hold, which stay; what becomes of damaged ones, and on a full disk."""

import contextlib
import itertools
import logging
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from tiny_run import OPTIMIZER, batches, command, first, lines, same, short

from full4d_jax.session.errors import InputError
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.state import first_state

STEPS = 4
pytestmark = [
    pytest.mark.usefixtures("orbax_leftovers"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def at(step: int):
    """A state of that step."""
    return first()._replace(step=jnp.array(step))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, list]:
    """A run with checkpoints at 2, 3 and 4, and their states."""
    folder, states = tmp_path_factory.mktemp("finished"), []
    with Checkpoints(folder, keep=3) as checkpoints:
        for step in range(2, STEPS + 1):
            params = {**first().params, "x": jnp.array(1.0 * step)}
            states.append(at(step)._replace(params=params))
            checkpoints.save(states[-1], {"step": step})
    return folder, states


def restored(folder: Path):
    with Checkpoints(folder, keep=3) as checkpoints:
        return checkpoints.restore(first())


def test_the_newest_and_the_best_stay(tmp_path):
    losses = [0.5, 0.1, 0.3, 0.2, 0.9, 0.8]
    with Checkpoints(tmp_path, keep=2, keep_best=1) as checkpoints:
        for step, loss in enumerate(losses[:4], 1):
            checkpoints.save(at(step), {}, loss)
    with Checkpoints(tmp_path, keep=2, keep_best=1) as checkpoints:  # as after a kill
        for step, loss in enumerate(losses[4:], 5):
            checkpoints.save(at(step), {}, loss)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "5", "6"]


def test_every_damaged_byte_is_found(finished, tmp_path, capsys):
    """Damage to any file either changes nothing that is restored, or the one before is used."""
    source, states = finished
    files = [
        path for path in sorted((source / str(STEPS)).rglob("*")) if path.is_file()
    ]
    fell_back = set()
    for i, path in enumerate(files):
        for kind in ("flipped", "cut", "gone"):
            folder = tmp_path / f"{i}_{kind}"
            shutil.copytree(source, folder)
            damage(folder / path.relative_to(source), kind)
            state, record = restored(folder)
            assert same(state, states[-1]) or same(state, states[-2]), (path, kind)
            if record["step"] == STEPS - 1:
                fell_back.add((path.parent.name, kind))
                assert same(state, states[-2])
                said = f"WARNING: the checkpoint of step {STEPS} in {folder} is damaged"
                assert said in capsys.readouterr().err
                assert (folder / f"damaged-{STEPS}").is_dir()
    # The record, the index and the values of arrays are all such files.
    assert {("record", "flipped"), ("state", "flipped"), ("d", "flipped")} <= fell_back
    assert {("record", "gone"), ("state", "cut"), ("d", "gone")} <= fell_back


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "flipped" and content:
        content[len(content) // 2] ^= 0x10
    path.write_bytes(content[: len(content) // 2] if kind == "cut" else content)
    if kind == "gone":
        path.unlink()


def test_only_damaged_checkpoints(finished, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(finished[0], folder)
    for path in folder.glob("*/record/metadata"):
        path.write_text("{}")
    for path in folder.glob("*/state/manifest.ocdbt"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"only damaged checkpoints \(3\)"):
        restored(folder)


def test_nothing_but_files_and_folders_is_read(finished, tmp_path):
    """A pipe would be read for ever, a device until memory ends."""
    folder = tmp_path / "folder"
    shutil.copytree(finished[0], folder)
    kept = folder.rename(tmp_path / "kept") / str(STEPS)
    folder.mkdir()
    (folder / str(STEPS)).symlink_to(kept)  # on another disk, say
    content = (kept / "state/_sharding").rename(tmp_path / "_sharding")
    (kept / "state/_sharding").symlink_to(content)
    assert same(restored(folder)[0], finished[1][-1])
    for name in ("_CHECKPOINT_METADATA", "record/metadata", "state/_sharding"):
        path = kept / name
        whole = path.rename(tmp_path / "whole")
        for make in (os.mkfifo, lambda path: path.symlink_to("/dev/zero")):
            make(path)
            told = f"{name}: found a device or a pipe, expected.*4 aw"
            with pytest.raises(InputError, match=told):
                restored(folder)
            path.unlink()
        whole.rename(path)
    (kept / "record").rename(tmp_path / "record").joinpath("d").symlink_to(tmp_path)
    (kept / "record").symlink_to(tmp_path / "record")
    with pytest.raises(InputError, match="record: found a link to a folder, expected"):
        restored(folder)


def test_parameters_of_another_shape_are_named(tmp_path):
    params = {name: jnp.zeros(3) for name in "abcdef"}
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        checkpoints.save(first_state(OPTIMIZER, params), {})
        other = {**dict.fromkeys("bcdef", jnp.zeros(4)), "g": jnp.zeros(3)}
        with pytest.raises(InputError) as error:
            checkpoints.restore(first_state(OPTIMIZER, other))
    assert error.value.found == "a (3,), b (3,), c (3,), d (3,) and 3 more"
    assert error.value.expected == "a nowhere, b (4,), c (4,), d (4,) and 3 more"
    assert [path.name for path in tmp_path.iterdir()] == ["0"]  # it is not damaged


def test_eight_devices_go_on_as_four_and_as_one(tmp_path):
    state, _ = short(tmp_path / "whole", devices=8, steps=8, log_every=1)
    assert not state.params["y"].is_fully_replicated
    whole = [line["loss"] for line in lines(tmp_path / "whole")]
    short(tmp_path / "eight", devices=8, steps=4, log_every=1)
    for devices in (4, 1):
        folder = tmp_path / f"{devices}"
        shutil.copytree(tmp_path / "eight", folder)
        words = command(folder, devices=devices, steps=8, log_every=1)
        environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices)}
        subprocess.run(words, env=environment, check=True, timeout=300)
        found = [line["loss"] for line in lines(folder)]
        assert len(found) == 8
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-6)


SAVED = 3
EVERY: Any = {"steps": 6, "checkpoint_every": 1, "log_every": 1}


def newest(out: Path):
    """Read with Orbax alone: a second `Checkpoints` would clean up while a run's does."""
    steps = [path for path in (out / "checkpoints").iterdir() if path.name.isdigit()]
    last = max(steps, key=lambda path: int(path.name))
    return ocp.StandardCheckpointer().restore(last / "state", first())


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
    told = (
        rf"File too large.*the newest complete one is {SAVED}; make room.*same command"
    )
    with largest_file(20_000), pytest.raises(InputError, match=told):
        short(out, **EVERY)
    assert same(newest(out), saved)
    state, _ = short(out, **EVERY)
    expected, _ = short(straight, **EVERY)
    assert same(state, expected)
    assert lines(out) == lines(straight)
