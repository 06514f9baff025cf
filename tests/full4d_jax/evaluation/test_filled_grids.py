"""Scores of filled grids: they count hidden frames only, pair by scene, and order obvious cases."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import Config, DataConfig, ModelConfig, SamplerConfig
from full4d_jax.evaluation import filled_grids, generated_grids
from full4d_jax.evaluation.filled_grids import evaluate_grids, hidden_candidates, moves
from full4d_jax.evaluation.groups import score
from full4d_jax.evaluation.table import CHANGE, NEAREST
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.session.errors import InputError

MODEL = ModelConfig(
    width=16, heads=2, layers=1, ffn=16, patch=8, refiner=4, projection="none", cameras=()
)
DATA = DataConfig(views=2, frames=2, height=64, width=64, orbit=True)
SHIPPED = "prior, 1 call, zero noise"


def test_scores_count_hidden_frames_only():
    truth = np.random.default_rng(0).uniform(0, 1, (2, 2, 16, 16, 3)).astype(np.float32)
    hidden = ~row_and_column(2, 2)
    wrong = truth.copy()
    wrong[0, 1] = 0  # given

    def scores() -> dict:
        rows = {SHIPPED: wrong, NEAREST: truth, CHANGE: truth}
        clip = hidden_candidates(0, truth, rows, hidden, SHIPPED)
        return score(clip, "grids", {})["rows"][0]

    assert (scores()["psnr"], scores()["ssim"]) == (None, pytest.approx(1))  # exact
    wrong[1, 1] += 0.1
    assert scores()["psnr"] == pytest.approx(20, abs=1e-3)
    assert scores()["lpips"] is None


def test_what_moves():
    still = np.zeros((2, 3, 10, 10, 3), np.float32)
    assert not moves(still)
    still[1, 2, :2, 0] = 0.5  # 2 of 200 pixels
    assert moves(still)
    still[1, 2, 1, 0] = 0.1  # 1
    assert not moves(still)


@pytest.mark.slow
def test_an_untrained_residual_scores_as_the_copy_and_runs_resume(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(generated_grids, "STEPS", (1,))  # each number of steps compiles a program
    config = Config(model=MODEL, data=DATA, sampler=SamplerConfig())
    prior = prior_with(config, jax.device_put(jax.tree.map(np.zeros_like, random_params(MODEL))))

    def evaluate(folder, config=config) -> dict:
        folder.mkdir(exist_ok=True)
        evaluate_grids(config, prior, {}, folder, range(3))
        found = json.loads((folder / "evaluation.json").read_text())
        return {row["name"]: row for row in found["rows"]} | {"differences": found["differences"]}

    first = evaluate(tmp_path)
    assert first[SHIPPED]["psnr"]["mean"] == pytest.approx(first[NEAREST]["psnr"]["mean"], abs=1e-3)
    pairs = {(x["name"], x["minus"]): x for x in first["differences"]}
    assert pairs[SHIPPED, NEAREST]["psnr"]["mean"] == pytest.approx(0, abs=1e-3)
    assert (NEAREST, CHANGE) not in pairs
    saved = (tmp_path / "scores.jsonl").read_text()
    again = evaluate(tmp_path)
    shutil.copytree(tmp_path / ".shown", tmp_path / "parts" / ".shown")
    (tmp_path / "parts" / "scores.jsonl").write_text("".join(saved.splitlines(keepends=True)[:2]))
    assert evaluate(tmp_path / "parts") == first
    picture = (tmp_path / "evaluation.png").read_bytes()
    assert (tmp_path / "parts" / "evaluation.png").read_bytes() == picture
    assert (tmp_path / "scores.jsonl").read_text() == saved
    assert again == first
    assert first[NEAREST]["psnr"]["scenes"] == len(saved.splitlines()) - 1
    assert "hidden" in (tmp_path / "evaluation.md").read_text().lower()
    capsys.readouterr()
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(InputError, match="an evaluation of other weights or settings"):
        evaluate(tmp_path, other)


def test_scenes_in_which_nothing_moves_are_left_out(tmp_path, monkeypatch):
    config = Config(model=MODEL, data=DATA, sampler=SamplerConfig())
    prior = prior_with(config, random_params(MODEL))
    monkeypatch.setattr(filled_grids, "moves", lambda frames: False)
    with pytest.raises(InputError, match="0 to 2: found none, expected one in which"):
        evaluate_grids(config, prior, {}, tmp_path, range(3))
