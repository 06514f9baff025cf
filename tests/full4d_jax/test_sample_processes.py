"""`full4d sample` of two processes, whose devices share the parameters, against one device."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from two_processes import together

from full4d_jax.cli import main
from full4d_jax.config import load_config
from full4d_jax.models.dit import init_params
from full4d_jax.models.weights import save_params

SIZE = "--data.views 3 --data.frames 2 --data.height 32 --data.width 32 --sampler.steps 2"
SMALL = {"layers": 1, "refiner": 0, "precision": "float32"}
MESH = "--mesh.data 1 --mesh.fsdp 2 --mesh.view 2"


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """`full4d sample` of the clip in the package, with random weights."""
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    model = dataclasses.replace(load_config("debug").model, **SMALL)
    params = init_params(model, jax.random.key(0))
    noise = jax.random.normal(jax.random.key(1), (10**6,))  # the last layer begins with zeros
    params = jax.tree.map(lambda x: x + 0.05 * noise[: x.size].reshape(x.shape), params)
    save_params(path, params, {})
    options = [word for name, x in SMALL.items() for word in (f"--model.{name}", str(x))]
    preset = ["--config", "debug", *options, *SIZE.split()]
    return ["sample", *preset, "--checkpoint", str(path)]


def each_in_its_folder(words: list[list[str]], out: Path) -> tuple[list[int], list[str]]:
    """Run two processes, each in a folder of its own; return their codes and what they print."""
    return together(
        [[*own, *MESH.split(), "--out", str(out / str(i))] for i, own in enumerate(words)]
    )


@pytest.mark.slow
def test_two_processes_sample_the_grid_of_one(words, tmp_path):
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    codes, outputs = each_in_its_folder([words, words], tmp_path)
    assert codes == [0, 0], outputs
    expected, found = (
        np.load(tmp_path / name / "grid.npz")["frames"].astype(int) for name in ("one", "0")
    )
    assert np.abs(found - expected).max() <= 1  # of 255; sums are in another order
    assert np.abs(expected - expected[:1]).max() > 10
    assert not (tmp_path / "1").exists()  # the first alone writes


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_where_one_cannot_read_the_weights_both_end(failing, words, tmp_path):
    both = [words.copy(), words.copy()]
    both[failing][-1] = str(tmp_path / "missing.safetensors")
    codes, outputs = each_in_its_folder(both, tmp_path)
    assert codes == [2, 2], outputs
    assert "missing.safetensors: found no such file" in outputs[failing]
    assert "see what it printed" in outputs[1 - failing]


def test_a_mesh_that_divides_no_grid_is_refused(tmp_path, capsys):
    options = ["--coordinator", "a:1234", "--processes", "2", "--process", "0"]
    assert main(["sample", "--config", "debug", *options, "--out", str(tmp_path / "out")]) == 2
    assert "mesh: found all 1, expected a mesh that divides a grid" in capsys.readouterr().err
