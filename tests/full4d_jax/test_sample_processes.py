"""`full4d evaluate` and `lift` of two processes, whose devices share the parameters."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from random_grids import noisy_wall
from random_weights import random_params
from two_processes import together

from full4d_jax.cli import main
from full4d_jax.config import DEFAULT, load_config, to_dict
from full4d_jax.grid import grid_arrays
from full4d_jax.models.weights import save_params
from full4d_jax.session.stages import Stages

SIZE = (
    "--data.views 3 --data.frames 2 --data.height 32 --data.width 32 --sampler.steps 2"
)
SMALL = {"layers": 1, "precision": "float32"}
LIFT = (
    "--lift.steps 10 --lift.capacity 300 --sampler.noise 1 --lift.distillation gradient"
)
VIEWS, FRAMES, SIDE = 3, 2, 32


def small_model(name: str, folder: Path) -> list[str]:
    """Return options of a preset that is made small, and of its random weights."""
    path = folder / "prior.safetensors"
    preset = load_config(name).model
    sizes = SMALL | {"refiner": 4 if preset.parametrisation.moves_base else 0}
    model = dataclasses.replace(preset, **sizes)
    save_params(path, random_params(model), {})
    options = [
        word for field, x in sizes.items() for word in (f"--model.{field}", str(x))
    ]
    return ["--config", name, *options, *SIZE.split(), "--checkpoint", str(path)]


def write_grid(folder: Path) -> Path:
    """Leave a grid of noise on a wall, as `sample` does, in a new folder."""
    grid = noisy_wall(VIEWS, FRAMES, SIDE)
    folder.mkdir()
    Stages(folder).run("grid", {}, lambda: grid_arrays(grid))
    (folder / "config.json").write_text(json.dumps(to_dict(DEFAULT)))
    return folder


def scene(folder: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the scene in a folder, but for how long it took."""
    arrays = dict(np.load(folder / "scene.npz"))
    del arrays["seconds"]
    return arrays


@pytest.mark.slow
def test_two_processes_have_the_scores_of_one(tmp_path):
    words = ["evaluate", *small_model("four_real", tmp_path), "--scenes", "1"]
    words += ["--sampler.noise", "1", "--sampler.steps", "1"]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    words += ["--mesh.fsdp", "4", "--out"]
    codes, outputs = together([[*words, str(tmp_path / x)] for x in "01"])
    assert codes == [0, 0], outputs
    (one_mark, one), (two_mark, two) = (
        map(json.loads, (tmp_path / folder / "scores.jsonl").read_text().splitlines())
        for folder in ("one", "0")
    )
    assert two_mark == one_mark  # so that one process can go on with what two began
    expected = {(x["row"], x["depth"]): x["psnr"] for x in one["rows"]}
    found = {(x["row"], x["depth"]): x["psnr"] for x in two["rows"]}
    assert found == pytest.approx(expected, abs=1e-3)  # dB; sums are in another order
    assert max(expected.values()) - min(expected.values()) > 1
    assert not (tmp_path / "1").exists()


@pytest.mark.slow
def test_two_processes_fit_the_scene_of_one(tmp_path):
    one, two, unread = (
        write_grid(tmp_path / name) for name in ("one", "two", "unread")
    )
    mesh = ["--mesh.data", "1", "--mesh.fsdp", "2"]
    words = [*small_model("debug", tmp_path), *mesh, *LIFT.split()]
    assert main(["lift", str(one), *words]) == 0
    both = [["lift", str(folder), *words] for folder in (two, unread)]
    codes, outputs = together(both, 1)
    assert codes == [0, 0], outputs
    assert "fitting" in outputs[0]
    assert not (unread / "scene.npz").exists()  # the first alone writes
    expected, made = scene(one), scene(two)
    assert made.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(made[name], array)
