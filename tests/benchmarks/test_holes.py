"""What dropping hole tokens could save, counted pair by pair."""

import dataclasses
import importlib
from pathlib import Path

import numpy as np
import pytest

from full4d_jax.config import DEFAULT
from full4d_jax.config.masks import allowed_frames

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def test_pairs_whose_key_is_a_hole_are_counted(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    views, frames, tokens = 3, 2, 4
    config = dataclasses.replace(
        DEFAULT,
        model=dataclasses.replace(DEFAULT.model, projection="frames"),
        data=dataclasses.replace(DEFAULT.data, views=views, frames=frames, height=16, width=16),
    )
    visible = np.random.default_rng(0).random((views, frames, tokens)) < 0.6
    visible[0] = True
    found = importlib.import_module("holes").shares_of_holes(config, visible)
    keys = np.concatenate([np.ones_like(visible), visible], 1).reshape(-1)
    allowed = allowed_frames(views, 2 * frames, cross_half=True).reshape(views * 2 * frames, -1)
    allowed = np.repeat(np.repeat(allowed, tokens, 0), tokens, 1)
    assert found["holes"] == pytest.approx(1 - visible[1:].mean(), abs=1e-4)
    assert found["pairs"] == pytest.approx(1 - allowed[:, keys].sum() / allowed.sum(), abs=1e-4)
    assert 0 < found["work"] < found["pairs"]
