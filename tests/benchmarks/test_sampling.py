"""The benchmark of sampling times the very programs that `full4d sample` runs."""

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

from full4d_jax import pipeline
from full4d_jax.config import Config, DataConfig, ModelConfig, SamplerConfig
from full4d_jax.generation import fill, generate
from full4d_jax.models.dit import init_params
from full4d_jax.models.weights import save_params
from full4d_jax.source.options import DemoGridOptions, DemoOptions

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
MODEL = ModelConfig(
    codec_stride=4,
    width=32,
    layers=2,
    heads=4,
    ffn=32,
    patch=2,
    projection="frames",
    prediction="velocity",
    refiner=0,
)
POSED = Config(
    model=MODEL,
    data=DataConfig(views=3, frames=2, height=16, width=16),
    sampler=SamplerConfig(steps=2, noise=1.0, guidance=1.5),
)
UNPOSED = Config(
    model=dataclasses.replace(MODEL, projection="none", cameras=()),
    data=DataConfig(views=3, frames=2, height=16, width=16),
    sampler=SamplerConfig(steps=2, noise=1.0),
)
WAN = dataclasses.replace(
    POSED,
    model=dataclasses.replace(MODEL, codec="wan21", codec_stride=8, patch=1, text_width=6),
    data=DataConfig(views=2, frames=5, height=16, width=16),
)


@pytest.fixture
def sampling(monkeypatch) -> ModuleType:
    """The program."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("sampling")


@pytest.fixture
def answer(sampling, monkeypatch, capsys) -> Callable[..., dict[str, Any]]:
    """Runs the program in this process; gives what its last line holds."""

    def call(*words: str) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["sampling.py", *words])
        sampling.main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "way", "module", "names"),
    [
        (POSED, DemoOptions(), generate, ("guides_program", "flow_program", "views_program")),
        (
            UNPOSED,
            DemoGridOptions(),
            fill,
            ("conditions_program", "parts_program", "filled_program"),
        ),
    ],
    ids=["posed", "unposed"],
)
def test_what_is_timed_is_what_sample_runs(
    sampling, monkeypatch, tmp_path, config, way, module, names
):
    ran, timed = [], []
    checkpoint = tmp_path / "prior.safetensors"
    save_params(checkpoint, init_params(config.model, jax.random.key(0)), {})
    for name in names:
        monkeypatch.setattr(module, name, Watched(getattr(module, name), ran))
    pipeline.sample(config, tmp_path / "out", way, checkpoint)
    run = sampling.Stages.run

    def watched_run(stages, name, program, *arguments):
        timed.append(text(program, arguments))
        return run(stages, name, program, *arguments)

    monkeypatch.setattr(sampling.Stages, "run", watched_run)
    sampling.measure(config, repeats=1)
    assert len(ran) == len(timed) == 3
    assert ran == timed


class Watched:
    """A jitted function that keeps the text of the programs that it runs."""

    def __init__(self, program, kept: list[str]):
        self.program, self.kept = program, kept

    def __call__(self, *arguments):
        self.kept.append(text(self.program, arguments))
        return self.program(*arguments)


def text(program, arguments) -> str:
    """The program as the compiler gets it, with types and places of its arguments."""
    return program.lower(*arguments).as_text()


@pytest.mark.slow
def test_offloaded_weights_are_planned_for_their_stage_alone(sampling):
    grids, planned = [], []
    for offload in (False, True):
        sampler = dataclasses.replace(WAN.sampler, offload=offload)
        config, stages = dataclasses.replace(WAN, sampler=sampler), sampling.Stages()
        grids.append(sampling.generate(config, sampling.random_prior(config, 16), stages))
        planned.append(stages.planned)
    np.testing.assert_array_equal(*grids)
    whole, alone = planned
    assert whole.keys() == alone.keys() == {"projection_and_codec", "all_steps", "decoding"}
    for name, size in alone.items():
        assert size < whole[name], name


@pytest.mark.slow
def test_sampling_times_every_stage(answer):
    words = "--config debug --sampler.steps 2 --repeats 1"
    found = answer(*words.split())
    stages = {"projection_and_codec", "all_steps", "decoding"}
    assert set(found["stage_seconds"]) == {"depth"} | stages
    assert found["seconds"] == pytest.approx(sum(found["stage_seconds"].values()), abs=0.01)
    assert set(found["planned_gib"]) == stages
    assert found["shapes"]["depth"] == [found["grid"][1:]]
    assert found["shapes"]["decoding"] == [[*found["grid"], 3]]
    assert found["calls"] == 2
    assert found["peak_memory_gib"] > 0.1


@pytest.mark.slow
def test_sampling_fills_a_grid_without_depth_and_projection(answer):
    size = "--data.views 3 --data.frames 2 --data.height 16 --data.width 16 --model.layers 1"
    found = answer("--config", "four_real", *size.split(), "--repeats", "1")
    assert found["grid"] == [3, 2, 16, 16]
    assert set(found["planned_gib"]) == {"codec", "all_steps", "decoding"}
    assert found["network_flops"] > 1e6
