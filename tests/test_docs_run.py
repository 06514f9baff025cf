"""The shell blocks of README and docs run, each in a folder of its own.

The documented words are kept; `documented_world.SHORT` lists the options that follow them, to keep
it short. Blocks marked slow run as they stand with `pytest -m slow tests/test_docs_run.py`, which
says how long each took, for its marker.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from documented import RECORDED, ROOT, Block, blocks, name
from documented_world import make_world, short

from full4d_jax.cli import main

FAST = [block for block in blocks() if not block.slow]
SLOW = [block for block in blocks() if block.slow]


def run(words: list[str]) -> None:
    assert main(short(words)) == 0, f"full4d {' '.join(short(words))}"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """The files that commands speak of."""
    folder, here = tmp_path_factory.mktemp("world"), Path.cwd()
    os.chdir(folder)
    make_world(folder, run)
    os.chdir(here)
    return folder


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
    for program, *words in block.commands:
        assert program == "full4d", f"{program} does not run in this test: mark the block slow"
        if words[0] == "data" and "--out" in words:  # datasets are made anew
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        run(words)


@pytest.mark.slow
@pytest.mark.parametrize("block", SLOW, ids=name)
def test_a_slow_block_runs(block: Block, here, capsys):
    if block.slow.startswith("not run"):
        pytest.skip(block.slow)
    for entry in ROOT.iterdir():
        if entry.name not in ("configs", ".venv", "out", "runs"):
            (here / entry.name).symlink_to(entry)
    (here / ".venv").mkdir()
    (here / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (here / ".venv" / "installed").touch()  # as far as make knows
    path = f"{sys.prefix}/bin:{os.environ['PATH']}"
    flags = {"XLA_FLAGS": "", "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    start = time.perf_counter()
    words = ["bash", "-e", "-c", block.text]
    done = subprocess.run(words, env={**os.environ, **flags, "PATH": path}, check=False)
    with capsys.disabled():
        print(f"\n{name(block)}: {time.perf_counter() - start:.0f} s")
    assert done.returncode == 0
