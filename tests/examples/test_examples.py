"""The programs of `examples/` run, and do what they say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from gaussians import render

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_gaussians_are_fitted(tmp_path):
    assert load("fit_gaussians").main(tmp_path, steps=70) > 26
    aside = cv2.imread(str(tmp_path / "aside.png"))
    assert aside is not None
    assert aside.std() > 10
    assert len(list((tmp_path / "ply").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["train_sharded", "own_attention", "own_loss", "own_conditioning"]
)
def test_a_sharded_step_learns(name, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    losses = load(name).main(steps=3)
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_arrays_are_sampled(tmp_path):
    picture = tmp_path / "grid.png"
    grid, scene = load("sample_arrays").main(picture, steps=15)
    frames = grid.frames / 255
    assert frames.shape == (5, 4, 64, 64, 3)
    moved = np.abs(frames[1:] - frames[0]).mean((1, 2, 3, 4))
    assert ((moved > 0.01) & (moved < 0.2)).all()
    assert picture.exists()
    camera = grid.cameras.camera(view=0, time=0)
    shown = render(scene.at(0.0), camera, antialiased=True).rgb
    assert np.abs(shown - frames[0, 0]).mean() < 0.05


def test_a_data_set_is_streamed_alike_each_time(tmp_path):
    example = load("stream_dataset")
    first = example.main(tmp_path)
    for batch, again in zip(first, example.main(tmp_path), strict=True):
        np.testing.assert_array_equal(batch, again)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.slow
def test_a_mask_of_ones_own_is_read():
    example = load("attention_mask")
    share, loss = example.main()
    # 3 views of 8 instants: each reads up to 3 instants of its own view, and 2 more views.
    assert share == pytest.approx((8 * 3 - 2 + 8 * 2) * 3 / (3 * 8) ** 2)
    assert np.isfinite(loss)
