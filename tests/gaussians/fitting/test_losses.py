"""SSIM against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gaussians.fitting.losses import capped_psnr, inner_ssim_map, picture_loss


def pair():
    rng = np.random.default_rng(0)
    a = np.cumsum(rng.uniform(-0.2, 0.2, (30, 41, 3)), axis=1) % 1.0
    return np.float32(a), np.float32(np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1))


def test_ssim_and_psnr_match_scikit_image():
    a, b = pair()
    expected = structural_similarity(
        a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, truncate=3.5,
        use_sample_covariance=False, data_range=1.0,
    )  # fmt: skip
    found = jax.jit(inner_ssim_map)(jnp.asarray(a), jnp.asarray(b)).mean()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    reference = peak_signal_noise_ratio(a, b, data_range=1.0)
    np.testing.assert_allclose(capped_psnr(jnp.asarray(a), jnp.asarray(b)), reference, rtol=1e-5)


def test_equal_pictures_have_no_loss_and_finite_gradient():
    a = jnp.asarray(pair()[0])
    value, gradient = jax.jit(jax.value_and_grad(picture_loss))(a, a)
    assert abs(float(value)) < 1e-6
    assert np.isfinite(gradient).all()
