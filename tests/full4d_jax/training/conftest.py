"""Lets the tests here, and the processes that they start, import `tiny_run`."""

import gc
import sys
from pathlib import Path

import pytest

from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def orbax_leftovers():
    """Collect the readers and writers that Orbax leaves behind, unawaited, where a save fails.

    They complain when they are collected, which would else be in any later test of the process.
    """
    yield
    gc.collect()


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    """A data set of two scenes."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    clips = ProceduralClips(first=0, count=2, views=3, frames=5, height=16, width=16)
    write_dataset(folder, clips, name="scenes", shards=1)
    return folder
