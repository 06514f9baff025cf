"""The shell blocks of README and docs run, each in a folder of its own.

The documented words are kept; `documented_world.SHORT` lists the options that follow them, to keep
it short. Blocks marked slow run with `pytest -m slow tests/test_docs_run.py`, which says how long
each took, for its marker.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from documented import RECORDED, ROOT, Block, blocks, name
from documented_world import add_slow_world, add_wan, make_world, short
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from full4d_jax.cli import main

FAST = [block for block in blocks() if not block.slow]
SLOW = [block for block in blocks() if block.slow]


def run(words: list[str]) -> None:
    """One full4d command, short; a dataset that is there already is made anew."""
    if words[0] == "data" and "--out" in words:
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    assert main(short(words)) == 0, f"full4d {' '.join(short(words))}"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[Path]:
    """The files that commands speak of. Compiled programs are kept, as the command line does."""
    folder = tmp_path_factory.mktemp("world")
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("programs")))
    reset_cache()  # or it stays as it was when the first program compiled
    with contextlib.chdir(folder):
        make_world(folder, run)
    yield folder
    jax.config.update("jax_compilation_cache_dir", None)
    reset_cache()


@pytest.fixture
def here(world, tmp_path, monkeypatch) -> Path:
    """A copy of them, the working directory."""
    shutil.copytree(world, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_markers_tell_the_last_run_or_why_there_is_none():
    assert SLOW
    for block in SLOW:
        assert RECORDED.match(block.slow), f"{name(block)}: {block.slow}"


@pytest.mark.parametrize("block", FAST, ids=name)
def test_a_block_runs(block: Block, here, capsys):
    for words in block.commands:
        assert words[0] == "full4d", f"{words[0]} does not run in this test: mark the block slow"
        run(words[1:])


@pytest.fixture(scope="module")
def slow_world(world) -> Path:
    """The same folder, with what only slow blocks need."""
    with contextlib.chdir(world):
        add_slow_world(world, run)
    return world


@pytest.fixture(scope="module")
def wan_world(slow_world) -> Path:
    """The same, with weights like Wan's; skips without the extra `parity`."""
    with contextlib.chdir(slow_world):
        add_wan(slow_world, run)
    return slow_world


@pytest.mark.slow
@pytest.mark.parametrize("block", SLOW, ids=name)
def test_a_slow_block_runs(block: Block, slow_world, request, capsys):
    if block.slow.startswith("not run"):
        pytest.skip(block.slow)
    if "wan" in block.text.lower():
        request.getfixturevalue("wan_world")
    here = request.getfixturevalue("here")
    for entry in ROOT.iterdir():
        if entry.name not in ("configs", ".venv", "out", "runs"):
            (here / entry.name).symlink_to(entry)
    (here / ".venv").mkdir()
    (here / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (here / ".venv" / "installed").touch()  # as far as make knows
    flags = {"XLA_FLAGS": "", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    start = time.perf_counter()
    for words in block.commands:
        if words[0] == "full4d" and "--topology" not in words:
            run(words[1:])
        else:  # in a process of its own
            program = [f"{sys.prefix}/bin/full4d"] if words[0] == "full4d" else words[:1]
            subprocess.run(program + words[1:], env=os.environ | flags, check=True)
    with capsys.disabled():
        print(f"\n{name(block)}: {time.perf_counter() - start:.0f} s")
