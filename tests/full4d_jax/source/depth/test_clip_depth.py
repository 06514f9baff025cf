"""Networks of every kind give depth of a clip that is consistent in time, its shift settled."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.session.errors import InputError
from full4d_jax.source.depth import clip_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimators import open_network
from full4d_jax.source.depth.onnx_network import Network
from full4d_jax.source.depth.signatures import DEPTH_ANYTHING
from full4d_jax.source.options import DepthKind

GOLDENS = Path(__file__).parents[2] / "goldens"
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


def up_to_scale(found, truth):
    """Relative error after one scale for the whole clip."""
    ratio = found / truth
    return np.abs(ratio / np.median(ratio) - 1)


def test_frames_with_scales_and_shifts_of_their_own_become_one_clip():
    disparity, frames = scene(5)
    rng = np.random.default_rng(0)
    answers = [rng.uniform(0.5, 3) * (d - 0.15) + rng.uniform(-2, 2) for d in disparity]
    values = np.stack(answers).astype(np.float32)
    aligned = clip_depth.one_line(values, jnp.asarray(frames, jnp.float32))
    scale, shift = np.polyfit(disparity.ravel(), aligned.ravel(), 1)
    assert np.abs(scale * disparity + shift - aligned).max() < 0.01 * scale
    # What stands still has one depth at all instants, though a box passes.
    found = clip_depth.clip_depth(pretend(values), jnp.asarray(frames, jnp.float32))
    still = np.abs(disparity - disparity[0]).max(0) == 0
    assert (np.ptp(found, 0) / found.mean(0))[still].max() < 0.02


@pytest.mark.parametrize(
    ("zero", "ratio"),
    [(-5.0, clip_depth.MIN_FARTHEST), (0.2, None), (0.4, clip_depth.MAX_FARTHEST)],
)
def test_the_farthest_stand_within_limits(zero, ratio):
    disparity, _ = scene(2)
    found = 1 / clip_depth.settle_shift((3 * (disparity - zero)).astype(np.float32))
    far = np.quantile(found, 1 - clip_depth.FARTHEST_SHARE) / np.median(found[0])
    own = (np.median(disparity[0]) - zero) / max(np.quantile(disparity, 0.02) - zero, 1e-9)
    assert far == pytest.approx(own if ratio is None else ratio, rel=1e-3)
    assert found.min() >= clip_depth.NEAREST_DEPTH
    if ratio is None:  # the network's own zero is kept
        assert up_to_scale(found, 1 / (disparity - zero)).max() < 1e-3


def test_metric_depth_keeps_its_metres():
    disparity, frames = scene(3)
    frames = jnp.asarray(frames, jnp.float32)
    found = clip_depth.clip_depth(pretend(2 / disparity, kind="metric"), frames)
    np.testing.assert_allclose(found[0, :9], 2 / disparity[0, :9], rtol=0.02)
    assert np.median(clip_depth.source_depth(pretend(2 / disparity, kind="depth"), frames)[0]) == 1


@pytest.fixture
def colors():
    """Three frames that look alike, whose red grows to the right."""
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 80)[:, None], (3, 60, 80, 1))
    return jnp.asarray(np.concatenate([ramp, 0.5 + 0 * ramp, 0.3 + 0 * ramp], -1) * 2 - 1)


def along(depth):
    """Depth of the first frame from left to right, without the ends, and its spread downwards."""
    assert np.ptp(depth[0][:, 5:-5], 0).max() < 0.02
    return np.asarray(depth[0][30, 5:-5])


def red():
    """What `colors` has of red, there."""
    return np.linspace(0.1, 0.9, 80)[5:-5]


@pytest.mark.extra("onnxruntime")
def test_a_picture_network_of_a_file(colors):
    network = open_network(str(GOLDENS / "slope.onnx"))
    assert isinstance(network, DepthFile)
    assert network.kind == "disparity"
    found = along(clip_depth.clip_depth(network, colors))
    assert (np.diff(found) < 0).all()  # red is near
    as_depth = open_network(str(GOLDENS / "slope.onnx"), "depth")
    assert isinstance(as_depth, DepthFile)
    with pytest.raises(InputError, match="values of 0 or less"):
        clip_depth.clip_depth(as_depth, colors - 1)


@pytest.mark.extra("onnxruntime")
def test_a_metric_network_of_a_file(colors):
    network = open_network(str(GOLDENS / "focal.onnx"))
    assert isinstance(network, DepthFile)
    assert network.kind == "metric"
    found = along(clip_depth.clip_depth(network, colors))
    np.testing.assert_allclose(found, 1 + 2 * red(), rtol=0.05)
