"""The quick shell blocks of README and docs run, in one folder with small files.

The documented words are kept; `documented_world.SHORT` lists the options that follow them.
"""

import contextlib
import shlex
import shutil
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from documented import Block, blocks
from documented_world import make_world, short

from full4d_jax.cli import main


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Callable[[str], None]]:
    """A function that runs a full4d command, each once."""
    folder = tmp_path_factory.mktemp("world")

    @cache
    def run(line: str) -> None:
        program, *words = shlex.split(line)
        assert program == "full4d", f"{program} does not run in this test: mark it slow"
        if words[0] == "data" and "--out" in words:
            shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
        assert main(short(words)) == 0, f"full4d {shlex.join(short(words))}"

    with contextlib.chdir(folder):
        make_world(folder, run)
        yield run


@pytest.mark.slow
@pytest.mark.parametrize(
    "block", [x for x in blocks() if not x.slow], ids=lambda x: x.place
)
def test_a_block_runs(block: Block, run):
    # Every page begins with the same data set, whatever another page wrote under its name.
    shutil.rmtree("sets/mine", ignore_errors=True)
    shutil.copytree("DATASET", "sets/mine")
    for words in block.commands:
        run(shlex.join(words))
