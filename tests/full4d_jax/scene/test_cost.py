"""What a grid costs is told before the work, near what was measured, or refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from full4d_jax.config import LiftConfig, load_config
from full4d_jax.scene import cost
from full4d_jax.session.errors import InputError

CONFIG = load_config(Path(__file__).resolve().parents[3] / "configs" / "four_real.py")


def grid(side, rows, sampler=CONFIG.sampler):
    size = replace(CONFIG.data, views=side, frames=side, height=rows, width=rows)
    return partial(cost.fill_note, size, replace(CONFIG, sampler=sampler))


@pytest.mark.parametrize(  # one core of an x86-64 machine, peak of the process
    ("side", "rows", "gib"), [(4, 64, 0.64), (8, 128, 1.54)]
)
def test_a_filled_grid_needs_what_was_measured(side, rows, gib):
    said = grid(side, rows)(None)
    assert said.startswith(f"{side} views of {side} instants of {rows}x{rows}: less than a minute,")
    assert float(said.split()[-2]) == pytest.approx(gib, abs=0.08)


def test_parts_take_less_memory_and_a_fit_takes_longer(monkeypatch):
    monkeypatch.setattr(cost, "available_memory", lambda: 3 * 2**30)
    with pytest.raises(InputError, match=r"found 3.0 GiB free, expected about 4.5 GiB"):
        grid(16, 128)(None)
    parts = replace(CONFIG.sampler, group_views=4, window_frames=4)
    assert "about" not in grid(16, 128, parts)(None)
    assert "about 1 min on two cores" in grid(4, 64)(LiftConfig(steps=8000))


def test_a_fit_beyond_memory_is_refused_before_it_begins(monkeypatch):
    monkeypatch.setattr(cost, "available_memory", lambda: 2.0**30)
    settings = LiftConfig(capacity=1000)
    cost.check_fit_memory(settings, (3, 2, 32, 32, 3))
    with pytest.raises(InputError, match=r"lift.capacity: found 1000000000 Gaussians, which take"):
        cost.check_fit_memory(replace(settings, capacity=10**9), (3, 2, 32, 32, 3))
