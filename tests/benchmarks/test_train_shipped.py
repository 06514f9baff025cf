"""Training of what ships, in parts: its commands are valid, and pieces hold all of it."""

import importlib
from functools import partial
from pathlib import Path

import pytest

from full4d_jax.cli import read_options
from full4d_jax.commands.train import train
from full4d_jax.config import check_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def trainings(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("train_shipped")


def test_commands_of_all_stages_are_valid(trainings, tmp_path):
    stages = trainings.stages(tmp_path / "photos", tmp_path / "videos", tmp_path)
    assert sum(stage.share for stage in stages) == 1
    for stage in stages:
        config = ["--config", trainings.CONFIGS[stage.name]]
        for words in (stage.words, stage.small):
            bound = read_options(train, "full4d train", [*config, *words])
            assert isinstance(bound, partial)
            check_config(bound.keywords["config"])


def test_pieces_bring_everything_back(trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(trainings, "PIECE", 20_000)
    before, after = tmp_path / "before", tmp_path / "after"
    for name in ("depth", "prior"):
        (before / name / "checkpoints").mkdir(parents=True)
        (before / name / "checkpoints" / "a").write_bytes(name.encode() * 7000)
    trainings.pack(before, before / "pieces")
    files = sorted((before / "pieces").iterdir())
    assert len(files) > 3
    assert max(file.stat().st_size for file in files) == 20_000
    after.mkdir()
    (before / "pieces").rename(after / "pieces")
    trainings.unpack(after / "pieces", after)
    for name in ("depth", "prior"):
        path = Path(name) / "checkpoints" / "a"
        assert (after / path).read_bytes() == (before / path).read_bytes()
    (after / "depth" / "checkpoints" / "a").write_text("newer")
    trainings.unpack(after / "pieces", after)
    assert (after / "depth" / "checkpoints" / "a").read_text() == "newer"
