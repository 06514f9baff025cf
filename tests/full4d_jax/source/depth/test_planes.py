"""Planes of an estimate become planes; people and the unknown stay."""

import numpy as np
import pytest
from one_view import one_view

from full4d_jax.source.depth.lines import UprightLines, straightness
from full4d_jax.source.depth.planes import flatten_planes
from input_pipeline.pinhole import pixel_rays

HEIGHT, WIDTH, FOCAL = 96, 144, 120.0
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1.0]])
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH] + 0.5
FLOOR = 1 + 0.004 * (DOWN - 48) + 0.002 * (ACROSS - 72)  # disparity
POST = np.abs(ACROSS - 72) < 14


def picture(mask):
    """Dark things before a light wall."""
    return np.where(mask, 40, 210).astype(np.uint8)[..., None].repeat(3, -1)


def boards():
    """A floor of boards whose gaps lean."""
    return picture((ACROSS + 0.3 * DOWN) % 24 < 10)


def flat(depth, frames, *, still=False, keep=None):
    """Flatten depth of which nothing is kept unless told."""
    keep = np.zeros(depth.shape, bool) if keep is None else keep
    return flatten_planes(one_view(frames, depth), still=still, keep=keep)


def relative(depth, truth):
    """Return the mean relative difference."""
    return float((np.abs(depth - truth) / truth).mean())


def test_a_wavy_floor_becomes_flat():
    wavy = (1 / (FLOOR * (1 + 0.05 * np.cos(DOWN / 8))))[None]
    frames = boards()[None]
    found = flat(wavy, frames)
    before, after = (straightness(frames, depth, LENS) for depth in (wavy, found))
    assert before is not None
    assert after is not None
    assert before[0] > 0.01
    assert after[0] < 0.2 * before[0]
    assert relative(found, 1 / FLOOR) < 0.5 * relative(wavy, 1 / FLOOR)


@pytest.mark.parametrize("still", [True, False])
def test_what_is_kept_or_unknown_stays(still):
    wavy = np.repeat((1 / (FLOOR * (1 + 0.05 * np.cos(DOWN / 8))))[None], 2, 0)
    wavy[:, :20, :30] = 0
    keep = np.repeat(POST[None], 2, 0)
    found = flat(wavy, np.repeat(boards()[None], 2, 0), still=still, keep=keep)
    np.testing.assert_array_equal(found[keep], wavy[keep])
    np.testing.assert_array_equal(found == 0, wavy == 0)
    assert np.abs(found - wavy)[~keep].max() > 0.01


def test_upright_lines_are_upright():
    """A wall of battens leans back by 30 degrees before a camera that looks down by 20."""
    pitch = np.radians(20.0)
    up = (0.0, -float(np.cos(pitch)), -float(np.sin(pitch)))
    lines = UprightLines(LENS, up)
    # Battens are upright lines at distance 2; their wall has the horizontal normal n.
    rays = pixel_rays(LENS, HEIGHT, WIDTH)
    horizontal = np.array([0.0, -np.sin(pitch), np.cos(pitch)])
    ahead = rays @ horizontal
    truth = ahead / 2
    battens = picture(np.floor(60 * rays[..., 0] / ahead) % 8 < 3)
    back = np.cos(np.radians(30.0)) * horizontal + np.sin(np.radians(30.0)) * -np.array(
        up
    )
    estimate = rays @ back / 2
    keep = np.zeros((1, HEIGHT, WIDTH), bool)
    frames = battens[None]
    upright = flatten_planes(
        one_view(frames, 1 / estimate[None]), lines, still=True, keep=keep
    )[0]

    def unlike_truth(disparity):
        ratio = disparity / truth
        return float(ratio.std() / ratio.mean())

    assert unlike_truth(estimate) > 0.1
    assert unlike_truth(1 / upright) < 0.3 * unlike_truth(estimate)
