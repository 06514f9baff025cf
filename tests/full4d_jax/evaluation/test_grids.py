"""Scores of filled grids: they count hidden frames only, pair by scene, and order obvious cases."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import Config, DataConfig, ModelConfig, SamplerConfig
from full4d_jax.evaluation import held_out
from full4d_jax.evaluation.grids import (
    BASELINES,
    COPY,
    evaluate_grids,
    hidden_scores,
    moves,
    summarise,
)
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.visible_frames import row_and_column
from full4d_jax.models.dit import init_params
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
    assert hidden_scores(wrong, truth, hidden, None)["psnr"] == np.inf
    wrong[1, 1] += 0.1
    assert hidden_scores(wrong, truth, hidden, None)["psnr"] == pytest.approx(20, abs=1e-3)
    assert hidden_scores(wrong, truth, hidden, None)["lpips"] is None


def test_what_moves():
    still = np.zeros((2, 3, 10, 10, 3), np.float32)
    assert not moves(still)
    still[1, 2, :2, 0] = 0.5  # 2 of 200 pixels
    assert moves(still)
    still[1, 2, 1, 0] = 0.1  # 1
    assert not moves(still)


def test_summary_pairs_by_scene():
    records = [
        {"scene": i, "rows": {r: {"psnr": p, "ssim": 0.5, "lpips": q} for r, p, q in rows}}
        for i, rows in enumerate(
            [
                [(row, 20.0, 0.3) for row in BASELINES] + [(SHIPPED, 21.0, 0.1)],
                [(row, 30.0, 0.2) for row in BASELINES] + [(SHIPPED, 33.0, 0.1)],
            ]
        )
    ]
    means, page = summarise(records, SHIPPED)
    difference = means[f"{SHIPPED} − {COPY}"]
    assert difference["psnr"].mean == pytest.approx(2)
    assert difference["psnr"].error == pytest.approx(1)
    assert difference["lpips"].mean == pytest.approx(0.15)  # lower is better
    assert "+2.00 ± 1.00" in page


def test_an_untrained_residual_scores_as_the_copy_and_runs_resume(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(held_out, "STEPS", (1,))  # each number of steps compiles a program
    config = Config(model=MODEL, data=DATA, sampler=SamplerConfig())
    prior = prior_with(config, jax.tree.map(jnp.zeros_like, init_params(MODEL, jax.random.key(0))))
    first = evaluate_grids(config, prior, tmp_path, range(3))
    assert first[SHIPPED]["psnr"].mean == pytest.approx(first[COPY]["psnr"].mean, abs=1e-3)
    saved = (tmp_path / "scores.jsonl").read_text()
    again = evaluate_grids(config, prior, tmp_path, range(3))
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "scores.jsonl").write_text("".join(saved.splitlines(keepends=True)[:2]))
    assert evaluate_grids(config, prior, tmp_path / "parts", range(3)) == first
    picture = (tmp_path / "grids.png").read_bytes()
    assert (tmp_path / "parts" / "grids.png").read_bytes() == picture
    assert (tmp_path / "scores.jsonl").read_text() == saved
    assert again == first
    kept = [json.loads(line)["rows"] for line in saved.splitlines()[1:]]
    assert first[COPY]["psnr"].count == sum(rows is not None for rows in kept)
    for name in ("evaluation.md", "evaluation.json", "grids.png"):
        assert (tmp_path / name).stat().st_size
    capsys.readouterr()
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(InputError, match="an evaluation of other weights or settings"):
        evaluate_grids(other, prior, tmp_path, range(3))
