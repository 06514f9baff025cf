"""Distillation under a Gaussian prior N(mean, s^2), whose flow is known in closed form.

E[x_0 | z_tau] = mean + k (z_tau - (1 - tau) mean), k = (1 - tau) s^2 / ((1 - tau)^2 s^2 + tau^2).
"""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.fitting.distillation import (
    Distillation,
    distillation_loss,
    distillation_targets,
)
from gaussians.types import Camera

SHAPE = (1, 2, 4, 4, 3)
SPREAD = 0.3


def prior_mean():
    return jnp.float32(np.random.default_rng(0).uniform(0.2, 0.8, SHAPE))


def velocity(z, tau, mean, spread=SPREAD):
    signal = 1 - tau
    gain = signal * spread**2 / (signal**2 * spread**2 + tau**2)
    clean = mean + gain * (z - signal * mean)
    return (z - clean) / tau


def encode(video):
    return 2 * video - 1  # the prior lives in latents; any invertible codec will do


def latent_velocity(z, tau):
    """Velocity of the prior seen through `encode`: N(2 mean - 1, (2 s)^2)."""
    return velocity(z, tau, 2 * prior_mean() - 1, 2 * SPREAD)


def test_descending_the_loss_ends_at_the_mean_of_the_prior():
    @jax.jit
    def descend(video, key):
        def step(video, key):
            tau_key, noise_key = jax.random.split(key)
            tau = jax.random.uniform(tau_key, minval=0.02, maxval=0.98)
            prior = latent_velocity, encode
            slope = jax.grad(distillation_loss)(video, *prior, tau, noise_key)
            return video - 0.3 * slope * video.size / 8, video

        last, path = jax.lax.scan(step, video, jax.random.split(key, 4000))
        return last, path[2000:].mean(0)

    start = jnp.zeros(SHAPE)
    _, average = descend(start, jax.random.key(1))
    np.testing.assert_allclose(average, prior_mean(), atol=0.03)


def test_the_gradient_is_that_of_score_distillation_and_ignores_the_prior_s_jacobian():
    video, tau, key = jnp.full(SHAPE, 0.9), jnp.float32(0.4), jax.random.key(2)
    noise = jax.random.normal(key, SHAPE)
    z = encode(video)
    predicted = latent_velocity((1 - tau) * z + tau * noise, tau)
    expected = 2 * tau * (predicted - (noise - z)) / video.size * 2  # d encode = 2
    gradient = jax.jit(jax.grad(distillation_loss), static_argnums=(1, 2))
    slope = gradient(video, latent_velocity, encode, tau, key)
    np.testing.assert_allclose(slope, expected, rtol=2e-4, atol=1e-7)


def test_cached_targets_are_the_exact_flow_of_the_noised_render():
    video, tau, key = jnp.full(SHAPE, 0.6), jnp.float32(0.7), jax.random.key(3)
    prior = Distillation(
        velocity=lambda mean, z, tau: velocity(z, tau, mean),
        encode=lambda _, x: x,
        decode=lambda _, z: z,
        params=prior_mean(),
        cameras=Camera(jnp.zeros((1, 2, 4, 4)), jnp.zeros((1, 2, 3, 3)), 4, 4),
        times=jnp.zeros(2),
        flow_steps=2000,
    )
    noisy = (1 - tau) * video + tau * jax.random.normal(key, SHAPE)
    # The probability flow keeps each sample's standard score.
    width = np.sqrt((1 - tau) ** 2 * SPREAD**2 + tau**2)
    exact = prior_mean() + SPREAD / width * (noisy - (1 - tau) * prior_mean())
    found = jax.jit(distillation_targets)(video, prior, tau, key)
    np.testing.assert_allclose(found, np.clip(exact, 0, 1), atol=2e-3)
