"""Fitting on a small moving scene that is known exactly, and its loss against scikit-image."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import scattered
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gaussians.deformation import Scene
from gaussians.fitting import loop
from gaussians.fitting.fit_config import FitConfig, Targets
from gaussians.fitting.loop import fit
from gaussians.fitting.losses import (
    capped_psnr,
    mean_ssim,
    picture_loss,
)
from gaussians.fitting.ssim import inner_ssim_map
from gaussians.motion import DynamicGaussians, still
from gaussians.rendering.rasterizer import clip_budget, render_clip
from gaussians.types import Camera

SIZE, TIMES = 16, jnp.array([0.0, 0.5, 1.0])
CONFIG = FitConfig(
    steps=150, chunk=75, means=1e-2, velocities=2e-2, log_scales=2e-2, colors=5e-2
)


def cameras(azimuths) -> Camera:
    """Looking at depth 1 from around it, one pose per azimuth and time: batched (v t)."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(azimuths), 3, 1, 1))
    for pose, angle in zip(poses, azimuths, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        pose[:, :3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        pose[:, :3, 3] = np.array([0, 0, 1]) - pose[0, :3, :3] @ np.array([0, 0, 1])
    intrinsics = np.array([[18.0, 0, 8], [0, 18.0, 8], [0, 0, 1]], np.float32)
    tiled = np.tile(intrinsics, (len(azimuths), 3, 1, 1))
    return Camera(jnp.asarray(poses), jnp.asarray(tiled), SIZE, SIZE)


def flat(camera: Camera) -> Camera:
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), camera)


@cache
def truth() -> DynamicGaussians:
    rng = np.random.default_rng(0)
    scene = still(scattered(rng, 40, reach=0.35, log_scale=-2.6))
    return scene._replace(velocities=jnp.float32(rng.normal(0, 0.2, (40, 3))))


def start() -> DynamicGaussians:
    """The truth without its colours and motion, in slightly wrong places."""
    noise = jnp.float32(np.random.default_rng(1).normal(0, 0.02, (40, 3)))
    gaussians = truth().gaussians
    black = jnp.zeros_like(gaussians.harmonics)
    return still(gaussians._replace(means=gaussians.means + noise, harmonics=black))


@cache
def pictures(azimuths: tuple[float, ...]) -> Targets:
    views, times = flat(cameras(azimuths)), jnp.tile(TIMES, len(azimuths))
    frames = jnp.clip(render_clip(truth(), views, times).rgb, 0, 1)
    return Targets(frames, views, times, jnp.ones(len(times)))


def mean_psnr(scene: Scene, targets: Targets) -> float:
    shown = render_clip(scene, targets.cameras, targets.times, max_intersections=1024)
    assert int(shown.overflow.max()) == 0
    return float(jax.jit(jax.vmap(capped_psnr))(shown.rgb, targets.frames).mean())


def test_fitting_explains_the_pictures_and_is_deterministic():
    targets, reports, key = pictures((-0.4, 0.4)), [], jax.random.key(0)
    result = fit(start(), targets, CONFIG, key, report=lambda *x: reports.append(x))
    assert [step for step, _ in reports] == [75, 150]
    assert reports[1][1]["loss"] < reports[0][1]["loss"]
    before = mean_psnr(start(), targets)
    after = mean_psnr(result.scene, targets)
    assert after > before + 6, (before, after)
    again = fit(start(), targets, CONFIG, key)
    np.testing.assert_equal(*jax.device_get((again, result)))


def test_a_budget_that_is_too_small_grows_and_leaves_no_trace(monkeypatch):
    targets = pictures((-0.4, 0.4))
    config = FitConfig(steps=20, chunk=20)
    needed = clip_budget(start(), targets.cameras, targets.times, slack=1.0)
    monkeypatch.setattr(loop, "clip_budget", lambda *args, slack: 8)
    kept = []
    grown = fit(start(), targets, config, jax.random.key(0), keep=kept.append)
    budget = int(kept[-1].budget)
    assert budget >= needed > 8
    monkeypatch.setattr(loop, "clip_budget", lambda *args, slack: budget)
    ample = fit(start(), targets, config, jax.random.key(0))
    np.testing.assert_equal(*jax.device_get((grown, ample)))


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
    both = jnp.asarray(a), jnp.asarray(b)
    found = jax.jit(inner_ssim_map)(*both).mean()
    np.testing.assert_allclose(found, expected, atol=2e-5)
    reference = peak_signal_noise_ratio(a, b, data_range=1.0)
    np.testing.assert_allclose(capped_psnr(*both), reference, rtol=1e-5)


def test_mean_ssim_and_its_gradients_are_those_of_the_map():
    """Numba's loop against XLA's derivative in double precision."""
    a, b = pair()
    gradients = jax.value_and_grad(mean_ssim, argnums=(0, 1))
    value, slopes = jax.jit(gradients)(jnp.asarray(a), jnp.asarray(b))
    with jax.enable_x64(True):
        exact = jax.value_and_grad(
            lambda *both: inner_ssim_map(*both).mean(), argnums=(0, 1)
        )
        expected, expected_slopes = exact(
            *(jnp.asarray(x, jnp.float64) for x in (a, b))
        )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for slope, truth in zip(slopes, expected_slopes, strict=True):
        np.testing.assert_allclose(slope, truth, atol=1e-5 * np.abs(truth).max())


def test_half_precision_and_batches_have_a_loss_too():
    a, b = (jnp.asarray(x) for x in pair())
    expected = float(picture_loss(a, b))
    halves = picture_loss(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16))
    assert float(halves) == pytest.approx(expected, rel=0.02)
    batch = jax.vmap(picture_loss)(jnp.stack([a, b]), jnp.stack([b, b]))
    np.testing.assert_allclose(batch, [expected, 0], atol=1e-6)


def test_equal_pictures_have_no_loss_and_finite_gradient():
    a = jnp.asarray(pair()[0])
    value, gradient = jax.jit(jax.value_and_grad(picture_loss))(a, a)
    assert abs(float(value)) < 1e-6
    assert np.isfinite(gradient).all()
