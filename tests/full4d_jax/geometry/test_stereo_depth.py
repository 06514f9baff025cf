"""Depth that a travelling camera's frames tell, where a network is wrong."""

import numpy as np
from handheld_clips import LENS, arc, film

from full4d_jax.geometry.stereo_depth import stereo_depth
from input_pipeline.cameras import relative_to


def wrong(true: np.ndarray) -> np.ndarray:
    """A network that leans everything: the left 1.6 times too near, the right 1.6 times too far."""
    lean = np.linspace(-np.log(1.6), np.log(1.6), true.shape[-1])
    return (true * np.exp(lean)).astype(np.float32)


def test_a_room_that_leans_is_set_upright():
    frames, true = film(arc()[::3])
    path = relative_to(arc()[::3], arc()[0])
    before = wrong(true)
    depth, share = stereo_depth(frames, before, LENS, path)
    assert share > 0.2
    errors = [np.abs(x / true - 1).mean() for x in (before, depth)]
    assert errors[1] < 0.35 * errors[0]
