"""Averages along the flow: how much an instant weighs, and when it has nothing to say."""

import cv2
import numpy as np

from full4d_jax.source.along_flow import (
    LASTING_WEIGHT,
    SureFlows,
    average_along_flow,
    of_one_colour,
    sure_flows,
)

HEIGHT, WIDTH, FRAMES = 64, 96, 5


def textured() -> np.ndarray:
    """Return pictures of one textured wall."""
    noise = np.random.default_rng(0).uniform(60, 200, (16, 24, 3)).astype(np.float32)
    wall = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.stack([wall.clip(0, 255)] * FRAMES).astype(np.uint8)


def test_an_instant_d_instants_away_weighs_lasts_to_the_power_d():
    """Pictures that do not move: flow is 0 everywhere, and sure."""
    still = [np.zeros((16, 24, 2), np.float32)] * 4
    everywhere = [np.ones((16, 24), bool)] * 4
    nowhere = [np.zeros((16, 24), bool)] * 4
    shares = np.zeros((5, 16, 24, 1), np.float32)
    shares[1] = 1
    averaged = average_along_flow(shares, SureFlows(still, still, everywhere, everywhere))
    for t in range(5):
        weights = LASTING_WEIGHT ** np.abs(np.arange(5) - t)
        np.testing.assert_allclose(averaged[t], weights[1] / weights.sum(), rtol=1e-5)
    unsure = SureFlows(still, still, nowhere, nowhere)
    np.testing.assert_array_equal(average_along_flow(shares, unsure), shares)


def test_what_is_small_and_fast_is_not_outvoted_by_its_background():
    """A ball that leaps: flow says that it is the wall, and leads home."""
    frames = textured()
    masks = np.zeros((FRAMES, HEIGHT, WIDTH, 1), np.float32)
    for t in range(FRAMES):
        place = slice(20, 26), slice(8 + 18 * t, 14 + 18 * t)
        frames[t][place] = (250, 20, 20)
        masks[t][place] = 1
    flows = sure_flows(frames)
    ball = masks > 0
    assert (average_along_flow(masks, flows)[ball] > 0.5).mean() < 0.7
    assert (average_along_flow(masks, of_one_colour(flows, frames))[ball] > 0.5).mean() > 0.95
