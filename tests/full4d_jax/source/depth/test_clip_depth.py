"""Networks of every kind give depth of a clip that is consistent in time."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from full4d_jax.source.depth import estimators
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.signatures import DEPTH_ANYTHING
from full4d_jax.source.options import DepthKind

HEIGHT, WIDTH = 48, 64


def scene(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Disparity of a floor, a wall and a box that moves to the right, and pictures of it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    still = np.maximum(0.4, (y + 1) / HEIGHT) + 0.1 * (x > 40)
    disparity = np.stack([still] * frames)
    for t in range(frames):
        disparity[t, 10:30, 5 + 4 * t : 17 + 4 * t] = 2.0
    colors = np.stack(
        [disparity / 2, np.sin(x / 3) / 4 + 0.5 + 0 * disparity, disparity**2 / 4], -1
    )
    return disparity, colors.clip(0, 1) * 2 - 1


def pretend(answers, kind: DepthKind = "disparity"):
    """A network that gives one answer after another, of sides of their own."""
    answers = iter(answers)
    network = Network(lambda _: {"depth": next(answers)[None]}, [1, 3, HEIGHT, WIDTH])
    return DepthFile(Path("x.onnx"), network, DEPTH_ANYTHING, kind)


def test_frames_with_scales_and_shifts_of_their_own_become_one_clip():
    disparity, frames = scene(5)
    rng = np.random.default_rng(0)
    answers = [rng.uniform(0.5, 3) * (d - 0.15) + rng.uniform(-2, 2) for d in disparity]
    values = np.stack(answers).astype(np.float32)
    aligned = estimators.one_line(values, jnp.asarray(frames, jnp.float32))
    scale, shift = np.polyfit(disparity.ravel(), aligned.ravel(), 1)
    assert np.abs(scale * disparity + shift - aligned).max() < 0.01 * scale
    # What stands still has one depth at all instants, though a box passes.
    found = estimators.clip_depth(pretend(values), jnp.asarray(frames, jnp.float32))
    still = np.abs(disparity - disparity[0]).max(0) == 0
    assert (np.ptp(found, 0) / found.mean(0))[still].max() < 0.02


def test_metric_depth_keeps_its_metres():
    disparity, frames = scene(3)
    frames = jnp.asarray(frames, jnp.float32)
    found = estimators.clip_depth(pretend(2 / disparity, kind="metric"), frames)
    np.testing.assert_allclose(found[0, :9], 2 / disparity[0, :9], rtol=0.02)
    assert np.median(estimators.source_depth(pretend(2 / disparity, kind="depth"), frames)[0]) == 1
