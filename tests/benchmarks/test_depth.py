"""Scores of depth: what each alignment forgives."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from published_graphs import published

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
TRUE = np.linspace(1, 3, 48).reshape(6, 8)


@pytest.fixture
def depth(monkeypatch) -> ModuleType:
    """The program."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("depth")


def shot(depth: ModuleType, true: np.ndarray, people: np.ndarray | None = None):
    """Return a black picture with this depth."""
    return depth.Shot(np.zeros((*true.shape, 3)), true, people)


def test_order_is_that_of_people_and_what_they_hide(depth):
    people = np.zeros((24, 24), int)
    people[8:20, 8:16] = 1
    true = np.where(people, 1.0, 2.0)
    found = [
        depth.scores(estimated, shot(depth, true, people))["order"]
        for estimated in (true, 1 / true, np.where(np.arange(24) < 12, true, 1.0))
    ]
    assert found[:2] == [1.0, 0.0]
    assert 0 < found[2] < 1
    assert depth.scores(true, shot(depth, true, 0 * people))["order"] is None


def test_a_scale_costs_nothing_and_unknown_pixels_do_not_count(depth):
    true = np.where(np.arange(48).reshape(6, 8) % 5 == 0, 0, TRUE)
    found = depth.scores(7 * TRUE, shot(depth, true))
    errors = [found[name] for name in depth.SCORES[:4]]
    assert errors == pytest.approx([0, 1, 0, 1], abs=1e-6)
    assert found["edge_recall"] is None  # neighbours are unknown


def test_a_shift_of_disparity_costs_the_median_alone(depth):
    found = depth.scores(1 / (1 / TRUE + 0.5), shot(depth, TRUE))
    assert found["median"] > 0.1
    assert found["median_delta125"] < 0.9
    assert found["affine"] == pytest.approx(0, abs=1e-6)


def test_a_plane_has_the_depth_of_the_median_or_the_mean_disparity(depth):
    plane = depth.estimate(None, np.zeros((6, 8, 3)))
    found = depth.scores(plane, shot(depth, TRUE))
    assert found["median"] == pytest.approx((abs(TRUE - np.median(TRUE)) / TRUE).mean())
    mean = 1 / (1 / TRUE).mean()
    assert found["affine"] == pytest.approx((abs(TRUE - mean) / TRUE).mean())


@pytest.mark.parametrize(("move", "near"), [(0, 1.0), (2, 1.0), (4, 0.0)])
def test_edges_count_within_two_pixels_at_any_scale(depth, move, near):
    true = np.where(np.arange(24) < 10, 1.0, 2.0) * np.ones((24, 1))
    moved = 3 * np.where(np.arange(24) < 10 + move, 1.0, 2.0) * np.ones((24, 1))
    found = depth.scores(moved, shot(depth, true))
    assert found["edge_recall"] == found["edge_precision"] == near


def test_slopes_are_no_edges(depth):
    true = np.where(np.arange(24) < 10, 1.0, 2.0) * np.ones((24, 1))
    found = depth.scores(np.linspace(1, 3, 24) * np.ones((24, 1)), shot(depth, true))
    assert found["edge_recall"] == 0.0
    assert found["edge_precision"] is None


def test_networks_return_depth_of_the_frames_size(depth):
    rng = np.random.default_rng(0)
    estimated = depth.estimate(depth.open_network("ours"), rng.uniform(-1, 1, (120, 90, 3)))
    assert estimated.shape == (120, 90)
    assert (estimated > 0).all()


def test_frames_of_rgbd_cameras_keep_what_is_unknown(depth, tmp_path):
    (tmp_path / "rgbd").mkdir()
    rows = np.arange(480)[:, None] * np.ones((1, 640))
    cv2.imwrite(
        str(tmp_path / "rgbd" / "a_0_color.jpg"), np.uint8(rows[..., None] / 2).repeat(3, 2)
    )
    measured = np.where(np.arange(640) < 320, 0, 1000 + rows).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "rgbd" / "a_0_depth.png"), measured)
    sets = depth.real_sets(tmp_path)
    (shot,) = sets["a"]
    assert list(sets) == ["a"]
    assert shot.frame.shape == (256, 341, 3)
    assert shot.frame.min() < -0.98
    assert shot.frame.max() == pytest.approx(479 / 2 / 127.5 - 1, abs=0.03)
    assert not shot.depth[:, :170].any()
    np.testing.assert_allclose(shot.depth[:, 200], 1000 + np.arange(256) * 480 / 256, atol=2)


@pytest.mark.extra("onnx", "onnxruntime")
def test_networks_of_files_are_scored_beside_ours(depth, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FULL4D_DATA", str(tmp_path))  # without photographs
    names = [str(published(tmp_path, name)) for name in ("da3-rank-5", "moge2")]
    words = ["depth.py", "--scenes", "1", "--rows", "32", "--network", *names]
    monkeypatch.setattr(sys, "argv", words)
    depth.main()
    said = capsys.readouterr().out
    assert said.count("depth network: ") == 2
    last = json.loads(said.splitlines()[-1])
    for name in names:
        assert 0 < last[f"rich/{name}"]["affine"] < 1
    assert last[f"rich/{names[0]}"] != last["rich/plane"]
    monkeypatch.setattr(sys, "argv", ["depth.py", "--networks", "none.onnx"])
    with pytest.raises(SystemExit, match=r"none\.onnx: found no such file"):
        depth.main()


@pytest.mark.slow
def test_the_last_line_scores_every_set_and_network(depth, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("FULL4D_DATA", str(tmp_path))  # without photographs
    monkeypatch.setattr(sys, "argv", ["depth.py", "--scenes", "1"])
    depth.main()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    who = (depth.OURS, str(depth.TIEFENRAUSCH), "plane")
    rows = {f"{worlds}/{name}" for worlds in ("rich", "wide") for name in who}
    assert set(last) == rows
    assert all(set(row) == set(depth.SCORES) for row in last.values())
