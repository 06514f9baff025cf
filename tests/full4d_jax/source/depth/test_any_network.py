"""Networks of every kind give depth of a clip that is consistent in time."""

import json
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from random_depth_anything import write_random

from full4d_jax.media.pictures import to_model
from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.any_network import (
    file_network_depth,
    one_line,
    open_network,
    source_depth,
)
from full4d_jax.source.depth.file_network import FileNetwork, example_frame
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.onnx_signatures import DEPTH_ANYTHING
from full4d_jax.source.options import DepthKind

WARNING = "found no config.json of it there, expected V2's"
HEIGHT, WIDTH = 48, 64


def test_run_takes_depth_anything_as_disparity(tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    write_random(path)
    network = open_network(str(path))
    assert f"warning: {path}: {WARNING}" in capsys.readouterr().out
    assert isinstance(network, FileNetwork)
    said = network.description
    assert "taken as disparity up to scale and shift, as of Depth Anything" in said
    assert "--depth_kind" not in said
    frames = example_frame()[None]
    depth = source_depth(network, to_model(frames))
    assert depth.shape == frames.shape[:3]
    assert np.median(depth) == pytest.approx(1)
    seen = cv2.resize(network.values(frames[0]), depth.shape[:0:-1])
    assert np.corrcoef(seen.ravel(), 1 / np.asarray(depth[0]).ravel())[0, 1] > 0.9


def test_other_networks_of_the_same_shapes_are_refused_by_their_config(tmp_path):
    write_random(tmp_path / "model.safetensors")
    config = {"model_type": "depth_anything", "depth_estimation_type": "metric"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="depth_estimation_type: found metric"):
        open_network(str(tmp_path / "model.safetensors"))


def scene(frames: int) -> tuple[np.ndarray, jnp.ndarray]:
    """Disparity of a floor, a wall and a box that moves to the right, and pictures of it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    still = np.maximum(0.4, (y + 1) / HEIGHT) + 0.1 * (x > 40)
    disparity = np.stack([still] * frames)
    for t in range(frames):
        disparity[t, 10:30, 5 + 4 * t : 17 + 4 * t] = 2.0
    stripes = np.sin(x / 3) / 4 + 0.5 + 0 * disparity
    colors = np.stack([disparity / 2, stripes, disparity**2 / 4], -1)
    return disparity, jnp.asarray(colors.clip(0, 1) * 2 - 1, jnp.float32)


def pretend(answers, kind: DepthKind = "disparity"):
    """A network that gives one answer after another, of sides of their own."""
    answers = iter(answers)
    network = Network(lambda _: {"depth": next(answers)[None]}, [1, 3, HEIGHT, WIDTH])
    return FileNetwork(Path("x.onnx"), network, DEPTH_ANYTHING, kind)


def test_frames_with_scales_and_shifts_of_their_own_become_one_clip():
    disparity, frames = scene(5)
    rng = np.random.default_rng(0)
    answers = [rng.uniform(0.5, 3) * (d - 0.15) + rng.uniform(-2, 2) for d in disparity]
    values = np.stack(answers).astype(np.float32)
    aligned = one_line(values, frames)
    scale, shift = np.polyfit(disparity.ravel(), aligned.ravel(), 1)
    assert np.abs(scale * disparity + shift - aligned).max() < 0.01 * scale
    # What stands still has one depth at all instants, though a box passes.
    found = file_network_depth(pretend(values), frames)
    still = np.abs(disparity - disparity[0]).max(0) == 0
    assert (np.ptp(found, 0) / found.mean(0))[still].max() < 0.02


def test_metric_depth_keeps_its_metres():
    disparity, frames = scene(3)
    found = file_network_depth(pretend(2 / disparity, kind="metric"), frames)
    np.testing.assert_allclose(found[0, :9], 2 / disparity[0, :9], rtol=0.02)
    assert np.median(source_depth(pretend(2 / disparity, kind="depth"), frames)[0]) == 1
