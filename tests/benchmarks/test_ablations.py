"""Ablations: paired statistics, what a page says of them, and one group trained and resumed."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("ablation_table")


def run_of(table, scores):
    return table.Run(np.repeat(scores[..., None], len(table.SCORES), -1), {})


def test_an_error_counts_scenes_and_seeds(table):
    """Against formulas for data whose spread is all between scenes, or all between seeds."""
    scenes = np.random.default_rng(0).normal(size=50)
    between_scenes = table.estimate(np.tile(scenes, (3, 1)))
    assert between_scenes.mean == pytest.approx(scenes.mean())
    assert between_scenes.error == pytest.approx(scenes.std(ddof=1) / 50**0.5)
    seeds = np.array([[0.0], [1.0], [5.0]])
    between_seeds = table.estimate(np.tile(seeds, (1, 50)))
    assert between_seeds.error == pytest.approx(seeds.std(ddof=1) / 3**0.5)
    assert np.isnan(table.estimate(np.array([[1.0]])).error)


def test_differences_are_paired(table):
    """Scenes that differ by far more than the rows do hide nothing."""
    generator = np.random.default_rng(1)
    scores = generator.normal(scale=5, size=(2, 40))
    noise = generator.normal(scale=0.1, size=(2, 40))
    rows = {"all": run_of(table, scores), "worse": run_of(table, scores - 0.3 + noise)}
    rows["same"] = run_of(table, scores + noise - noise.mean())
    page = table.markdown([table.Table("projection", rows)], 10)
    found = table.differences(table.Table("projection", rows))
    assert found["worse"]["hard"].mean == pytest.approx(-0.3, abs=0.05)
    assert found["worse"]["hard"].shows
    assert not found["same"]["hard"].shows
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if "|" in line}
    assert " shows " in lines["worse"]
    assert "none shows" not in lines["worse"]
    assert "none shows" in lines["same"]


def test_scenes_without_hard_pixels_are_left_out(table):
    values = np.array([[1.0, np.nan, 3.0], [1.0, np.nan, 3.0]])
    assert table.estimate(values).mean == pytest.approx(2.0)
    assert table.estimate(np.full((2, 3), np.nan)).shows is False


def test_rows_share_all_but_what_they_are_named_for(table, monkeypatch):
    ablations = importlib.import_module("ablations")
    from full4d_jax.config import check_config, to_dict

    for group in ("blind", "projection", "wide"):
        rows = ablations.projection_rows(group, 5)
        first, *others = [to_dict(config) for config in rows]
        for other in others:
            parts = [name for name in first if first[name] != other[name]]
            assert "name" in parts
            assert len(parts) == 2, parts  # and one section
    for config in (
        *ablations.projection_rows("wide", 5),
        *ablations.camera_rows(5),
        *ablations.mode_rows(5),
        ablations.base_of_modes(5),
    ):
        check_config(config)


GROUPS = (
    pytest.param("blind", "PARTS", ("all", "without cameras"), marks=pytest.mark.long),
    pytest.param("cameras", "CAMERAS", ("linear", "none"), marks=pytest.mark.long),
    pytest.param("wide", "PARTS", ("all", "own view alone"), marks=pytest.mark.long),
    pytest.param("attention", "MODES", ("fused", "two_stream_hard"), marks=pytest.mark.slow),
)


@pytest.mark.parametrize(("group", "known", "names"), GROUPS)
def test_a_group_is_trained_scored_and_kept(
    table, monkeypatch, tmp_path, capsys, group, known, names
):
    ablations = importlib.import_module("ablations")
    monkeypatch.setattr(ablations, known, {x: getattr(ablations, known)[x] for x in names})
    small = {"width": 16, "layers": 1, "ffn": 16, "refiner": 2}
    size = {"views": 2, "frames": 2, "height": 16, "width": 16}
    for model, data in (("FRAMES", "CLIPS"), ("MORE", "WIDE"), ("POSELESS", "GRIDS")):
        monkeypatch.setattr(ablations, model, replace(getattr(ablations, model), **small))
        monkeypatch.setattr(ablations, data, replace(getattr(ablations, data), **size))
    words = ["--groups", group, "--steps", "3", "--seeds", "2", "--scenes", "4"]
    monkeypatch.setattr(sys, "argv", ["ablations.py", *words, "--out", str(tmp_path)])
    ablations.main()
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    rows = first[group]
    assert tuple(rows) == names + ("without projection",) * (group == "wide")
    assert rows[names[1]]["difference"]["psnr"]["mean"] != 0
    assert rows[names[0]]["mean"]["psnr"]["error"] > 0
    costs = [rows[name]["cost"] for name in names]
    weights_alike = costs[0]["trained"] == costs[1]["trained"]
    assert weights_alike == (group == "wide")  # its rows differ in masks, which have no weights
    assert costs[0]["gigaflop"] != costs[1]["gigaflop"]
    for name in ("ablations.md", "ablations.json", "ablations.png"):
        assert (tmp_path / name).stat().st_size > 100

    monkeypatch.setattr(importlib.import_module("ablation_runs").Row, "train", None)  # not called
    kept = next((tmp_path / group).glob("*_1.json"))
    old = json.loads(kept.read_text()) | {"scored": ["psnr"], "scores": [[1.0]] * 4}
    kept.write_text(json.dumps(old))  # is scored again
    ablations.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == first


@pytest.mark.slow
def test_the_shipped_prior_is_asked_in_other_ways(table, tmp_path):
    """The generator here agrees with the one of `sample`, and each switch changes the grid."""
    import jax

    checkpoint = importlib.import_module("ablation_checkpoint")
    from full4d_jax.cameras import cameras_of
    from full4d_jax.config import DEFAULT
    from full4d_jax.evaluation.known_clips import held_out_clips
    from full4d_jax.generation.generate import generate_grid
    from full4d_jax.generation.prior import open_prior

    prior, (known,) = open_prior(DEFAULT), held_out_clips(DEFAULT.data, [3])
    found = checkpoint.generate(0, prior, known)
    clip = known.clip
    given = 2 * clip.frames[:1] - 1, clip.depth[:1], cameras_of(clip)
    grid, _ = generate_grid(prior, *given, jax.random.key(0))
    np.testing.assert_allclose(found, grid[1:] / 2 + 0.5, atol=1e-4)
    scores = [checkpoint.target_scores(found, clip.frames[1:], np.ones(clip.depth[1:].shape))]
    for change in ({"projected": False}, {"posed": False}):
        other = checkpoint.generate(0, prior, known, **change)
        scores.append(
            checkpoint.target_scores(other, clip.frames[1:], np.ones(clip.depth[1:].shape))
        )
    assert scores[0][0] > scores[1][0] + 1  # without a projection
    assert scores[0][0] != scores[2][0]
