"""`full4d train` of two processes on encoded clips, from converted weights, against one device."""

import dataclasses
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_codec import save_toy_codec
from toy_wan import SMALL, random_wan

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.models.weights import load_params
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.clips import ProceduralClips

REPOSITORY = Path(__file__).parents[2]
PRESET = ["--config", "wan22_5b"]
SIZE = {"views": 3, "frames": 5, "height": 32, "width": 32}
PATIENCE = 900  # seconds until both processes must be done, on a busy machine
STEPS = 3


def options(section: str, values: dict) -> list[str]:
    return [word for name, x in values.items() for word in (f"--{section}.{name}", str(x))]


MODEL = options("model", SMALL | {"precision": "float32", "remat": "none"})
DATA = options("data", SIZE | {"projections": 2})
ONE = options("mesh", {"data": 1, "fsdp": 1, "view": 1, "time": 1})
FOUR = options("mesh", {"data": 1, "fsdp": 2, "view": 2, "time": 1})
TRAINING = {"batch": 4, "steps": STEPS, "log_every": 1, "sheet_every": 0}


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Words of `full4d train`: on latents and projections, from weights that were converted."""
    folder = tmp_path_factory.mktemp("wan")
    codec = ["--codec_weights", save_toy_codec(folder / "vae.safetensors", "wan22")]
    clips = ProceduralClips(first=0, count=4, views=3, frames=5, height=32, width=32)
    write_dataset(folder / "scenes", clips, name="scenes", shards=1)
    encode = ["data", "encode", *PRESET, *codec, *MODEL, *DATA, "--dataset", str(folder / "scenes")]
    assert main([*encode, "--out", str(folder / "latents")]) == 0

    model = dataclasses.replace(load_config(PRESET[1]).model, **SMALL)
    save_file(random_wan(model, "diffusers", scale=0.15), folder / "published.safetensors")
    convert = ["convert", "wan", *PRESET, *MODEL, "--from", str(folder / "published.safetensors")]
    assert main([*convert, "--to", str(folder / "ours.safetensors")]) == 0

    train = ["train", *PRESET, *codec, *MODEL, *DATA, "--init", str(folder / "ours.safetensors")]
    train += ["--data.records", str(folder / "latents"), *options("training", TRAINING)]
    return [*train, *options("optimizer", {"adam_learning_rate": 0.01, "warmup": 1})]


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.long  # tests/pod trains so, too
def test_two_processes_from_converted_weights_have_the_losses_of_one(command, tmp_path):
    slurm = {
        "SLURM_JOB_ID": str(random.SystemRandom().randrange(10**6)),  # gives the port
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "2",
    }
    two = [sys.executable, "-m", "full4d_jax.cli", *command, *FOUR, "--distributed"]
    processes = [
        subprocess.Popen(
            [*two, "--out", tmp_path / "two"],
            cwd=REPOSITORY,
            env={**os.environ, **slurm, "SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    assert main([*command, *ONE, "--out", str(tmp_path / "one")]) == 0
    said = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said

    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(expected) == STEPS
    assert found == pytest.approx(expected, rel=1e-4)
    assert max(expected) - min(expected) > 1e-3  # the steps differ
    record = json.loads((tmp_path / "two" / "prior.json").read_text())
    assert record["devices"]["processes"] == 2
    assert record["mesh"] == {"data": 1, "fsdp": 2, "view": 2, "time": 1, "tensor": 1}
    begin = command[command.index("--init") + 1]
    wrote = (tmp_path / out / "prior.safetensors" for out in ("one", "two"))
    start, one, two = (
        np.asarray(load_params(path)[0]["blocks"]["attention"]["query"]["kernel"])
        for path in (begin, *wrote)
    )
    assert np.abs(one - two).mean() < 0.1 * np.abs(one - start).mean()
    assert np.corrcoef(one.ravel(), start.ravel())[0, 1] > 0.9  # so that they did begin there
