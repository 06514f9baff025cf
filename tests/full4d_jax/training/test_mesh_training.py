"""`full4d train` on meshes against one device: the same losses, where it changes too."""

import json

import pytest

from full4d_jax.cli import main

SMALL = "--model.layers 1 --model.refiner 0 --data.views 2 --data.frames 1 --training.batch 2"
QUICK = "--optimizer.kind adamw"  # compiles faster
TRAIN = ["train", "--config", "debug", *SMALL.split(), *QUICK.split()]
EVERY_STEP = ["--training.log_every", "1"]


def losses(out) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_run_goes_on_on_other_meshes_with_the_same_losses(tmp_path, capsys):
    one, several = tmp_path / "one", tmp_path / "several"
    assert main([*TRAIN, *EVERY_STEP, "--training.steps", "6", "--out", str(one)]) == 0
    four = ["--mesh.data", "1", "--mesh.fsdp", "2", "--mesh.view", "2"]
    two = ["--mesh.data", "2"]
    # The first three steps have the same learning rates in both.
    for steps, mesh in (("3", four), ("6", two)):
        command = [*TRAIN, *EVERY_STEP, *mesh, "--training.steps", steps, "--out", str(several)]
        assert main(command) == 0
    assert "at step 3" in capsys.readouterr().out
    assert losses(several) == pytest.approx(losses(one), rel=1e-5)
