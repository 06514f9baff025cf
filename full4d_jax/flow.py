"""Rectified flow: the path, its target, the loss and a preconditioning around a first guess.

Flow time tau is 0 at data x and 1 at noise e (Full-4D, section 3 of the design):

    z_tau = (1 - tau) x + tau e          u = e - x          x = z_tau - tau u
    tau' = sigma tau / (1 + (sigma - 1) tau)          Wan's shift

Preconditioning. Let b be a first guess of x (the filled projection) with x ~ N(b, s^2). With
r = z - (1 - tau) b and var = s^2 (1 - tau)^2 + tau^2, the network sees r / sqrt(var), of unit
variance, and returns a residual F that corrects the posterior mean under that Gaussian:

    x_hat = b + s^2 (1 - tau) / var r + s tau / sqrt(var) F
    v     = (tau - s^2 (1 - tau)) / var r - b - s / sqrt(var) F

F = 0 is the best guess without a network, and v needs no division by tau (it is fine at tau -> 0,
under `jvp` and in distillation).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

Latents = Float[Array, "b v t h w c"]
PerFrame = Float[Array, "b v t"]
# One flow time a sample, or one a latent frame.
Times = Float[Array, "b"] | PerFrame
# The s above, which may differ between pixels.
Sigma = float | Float[Array, "b v t h w 1"]


def bcast(
    tau: Shaped[Array, "b ..."], like: Shaped[Array, "b ..."]
) -> Shaped[Array, "b ..."]:
    """Append axes to tau, or to a mask of frames, until it multiplies `like`."""
    return tau.reshape(tau.shape + (1,) * (like.ndim - tau.ndim))


def shift_time(tau: Float[Array, "..."], sigma: float) -> Float[Array, "..."]:
    """Shift flow times towards noise, as Wan does."""
    return sigma * tau / (1 + (sigma - 1) * tau)


def interpolate(data: Latents, noise: Latents, tau: Times) -> Latents:
    """Return a point of the straight path, z_tau."""
    tau = bcast(tau, data)
    return (1 - tau) * data + tau * noise


def data_from_velocity(velocity: Latents, z: Latents, tau: Times) -> Latents:
    """Return the clean latents that a velocity points to."""
    return z - bcast(tau, z) * velocity


def normalise_residual(z: Latents, tau: Times, base: Latents, sigma: Sigma) -> Latents:
    """Return r / sqrt(var), which the preconditioned network sees."""
    tau = bcast(tau, z)
    variance = sigma**2 * (1 - tau) ** 2 + tau**2
    return (z - (1 - tau) * base) * jax.lax.rsqrt(variance)


def velocity_from_residual(
    residual: Latents, z: Latents, tau: Times, base: Latents, sigma: Sigma
) -> Latents:
    """Return the velocity v from the network's output F."""
    tau = bcast(tau, z)
    variance = sigma**2 * (1 - tau) ** 2 + tau**2
    r = z - (1 - tau) * base
    slope = (tau - sigma**2 * (1 - tau)) / variance
    return slope * r - base - sigma * jax.lax.rsqrt(variance) * residual


def sample_time(
    key: PRNGKeyArray, batch: int, *, shift: float, mean_share: float
) -> tuple[Float[Array, "b"], Bool[Array, "b"]]:
    """Draw flow times for training, and say which clips train the conditional mean.

    A share of the batch (its first clips, rounded) trains the mean: tau = 1. The others draw tau
    from (0, 1) uniformly, and shift it.
    """
    tau = jax.random.uniform(key, (batch,))
    is_mean = jnp.arange(batch) < round(mean_share * batch)
    return jnp.where(is_mean, 1.0, shift_time(tau, shift)), is_mean


def velocity_loss(velocity: Latents, target: Latents) -> PerFrame:
    """Return the papers' loss: squared error of the velocity, all flow times alike."""
    return ((velocity - target) ** 2).mean((3, 4, 5))


def flow_loss(
    predicted: Latents, data: Latents, tau: Times, sigma: Sigma, limit: float = 50.0
) -> PerFrame:
    """Return the squared error of the data, weighted 1 + (sigma (1 - tau) / tau)^2 up to a limit.

    The weight undoes the factor that the preconditioning puts on the network's output: below the
    limit this is sigma^2 times the squared error of the residual.
    """
    tau = bcast(tau, data)
    weight = 1 + (sigma * (1 - tau) / jnp.maximum(tau, 0.02)) ** 2
    return (jnp.minimum(weight, limit) * (predicted - data) ** 2).mean((3, 4, 5))


def mean_loss(
    predicted: Latents, data: Latents, weight: float | Float[Array, "b v t h w 1"] = 1.0
) -> PerFrame:
    """Return squared and smooth absolute errors of latents, and smooth ones of their differences.

    The former two are weighed by pixel.

    Where much is possible (holes) errors are large and the square leads to the mean; where little
    is (what the source sees) they are small and the absolute terms keep edges sharp.
    """

    def absolute(x):
        return jnp.sqrt(x * x + 1e-4)

    error = predicted - data
    rows = jnp.diff(error, axis=-3)
    columns = jnp.diff(error, axis=-2)
    own = (weight * (2 * error**2 + absolute(error) / 2)).mean((3, 4, 5))
    return own + absolute(rows).mean((3, 4, 5)) + absolute(columns).mean((3, 4, 5))


def mean_of(frames: Float[Array, "b v t"], values: PerFrame) -> Float[Array, "b"]:
    """Average each clip's values over the frames that are 1 in `frames`, at least one."""
    return (frames * values).sum((1, 2)) / frames.sum((1, 2))
