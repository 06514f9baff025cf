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

Few steps (MeanFlow, arXiv 2505.13447 and 2512.02012). The same network also says the mean velocity
from tau down to rho, u(z, tau, rho) with u(z, tau, tau) = v(z, tau), by which one step leads from
the one to the other. It is trained by what a mean over an interval is, that of the means over its
parts (SplitMeanFlow, arXiv 2507.16884): with z_s = z - (tau - s) u(z, tau, s),

    (tau - rho) u(z, tau, rho) = (tau - s) u(z, tau, s) + (s - rho) u(z_s, s, rho)

whose right side is held constant; where tau = rho the target is e - x as ever. MeanFlow's own
identity, v = u + (tau - rho) du/dtau, is its limit s -> tau; docs/speed.md says why it is not used.
Under the Gaussian above r / sqrt(var) stays as it is along a path, so

    u = ((tau + rho) - s^2 (2 - tau - rho)) / (g (g + g')) r - b - s / g F

with g = sqrt(var) at tau and g' the same at rho; at rho = tau this is v.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Latents = Float[Array, "b v t h w c"]
PerFrame = Float[Array, "b v t"]


def bcast(tau: Float[Array, "b"], like: Float[Array, "b ..."]) -> Float[Array, "b ..."]:
    """Append axes to tau until it multiplies `like`."""
    return tau.reshape(tau.shape + (1,) * (like.ndim - tau.ndim))


def shift_time(tau: Float[Array, "..."], sigma: float) -> Float[Array, "..."]:
    """Wan's shift of flow times towards noise."""
    return sigma * tau / (1 + (sigma - 1) * tau)


def interpolate(data: Latents, noise: Latents, tau: Float[Array, "b"]) -> Latents:
    """A point of the straight path, z_tau."""
    tau = bcast(tau, data)
    return (1 - tau) * data + tau * noise


def data_from_velocity(velocity: Latents, z: Latents, tau: Float[Array, "b"]) -> Latents:
    """The clean latents that a velocity points to."""
    return z - bcast(tau, z) * velocity


def normalise_residual(z: Latents, tau: Float[Array, "b"], base: Latents, sigma) -> Latents:
    """r / sqrt(var): what the preconditioned network sees. `sigma` broadcasts against z."""
    tau = bcast(tau, z)
    variance = sigma**2 * (1 - tau) ** 2 + tau**2
    return (z - (1 - tau) * base) * jax.lax.rsqrt(variance)


def velocity_from_residual(
    residual: Latents,
    z: Latents,
    tau: Float[Array, "b"],
    base: Latents,
    sigma,
    rho: Float[Array, "b"] | None = None,
) -> Latents:
    """v, or the mean velocity down to the flow time rho, from the network's output F."""
    tau = bcast(tau, z)
    variance = sigma**2 * (1 - tau) ** 2 + tau**2
    r = z - (1 - tau) * base
    if rho is None:
        slope = (tau - sigma**2 * (1 - tau)) / variance
    else:
        rho = bcast(rho, z)
        deviation = jnp.sqrt(variance)
        both = deviation + jnp.sqrt(sigma**2 * (1 - rho) ** 2 + rho**2)
        slope = (tau + rho - sigma**2 * (2 - tau - rho)) / (deviation * both)
    return slope * r - base - sigma * jax.lax.rsqrt(variance) * residual


def split_velocity(
    mean_velocity: Callable[[Latents, Float[Array, "b"], Float[Array, "b"]], Latents],
    z: Latents,
    tau: Float[Array, "b"],
    split: Float[Array, "b"],
    rho: Float[Array, "b"],
) -> Latents:
    """The mean velocity from tau to rho that those to and from `split` between them imply.

    Costs two calls.
    """
    first = mean_velocity(z, tau, split)
    second = mean_velocity(z - bcast(tau - split, z) * first, split, rho)
    share = bcast((tau - split) / jnp.maximum(tau - rho, 1e-6), z)
    return share * first + (1 - share) * second


def sample_time(
    key: PRNGKeyArray,
    batch: int,
    *,
    shift: float,
    mean_share: float,
    times: Literal["uniform", "logit_normal"] = "uniform",
    interval_share: float = 0.0,
) -> tuple[Float[Array, "b"], Float[Array, "b"], Float[Array, "b"], Float[Array, "b"]]:
    """Flow times tau, s and rho for training, and the scale of each clip's noise.

    A share of the batch (its first clips, rounded) trains the conditional mean: tau = 1 with zero
    noise. The others draw tau from (0, 1), uniformly or as the logistic function of a standard
    normal number, and shift it. A share of these (the next clips, rounded) trains the mean velocity
    down to a rho from (0, tau), split at an s between them; elsewhere s and rho are tau.
    """
    if times == "uniform":
        tau = jax.random.uniform(key, (batch,))
    else:
        tau = jax.nn.sigmoid(jax.random.normal(key, (batch,)))
    tau = shift_time(tau, shift)
    means = round(mean_share * batch)
    intervals = round(interval_share * (batch - means))
    place = jnp.arange(batch)
    mean = place < means
    tau = jnp.where(mean, 1.0, tau)
    below, between = jax.random.uniform(jax.random.fold_in(key, 1), (2, batch))
    is_interval = (place >= means) & (place < means + intervals)
    rho = jnp.where(is_interval, below * tau, tau)
    split = jnp.where(is_interval, rho + between * (tau - rho), tau)
    return tau, split, rho, jnp.where(mean, 0.0, 1.0)


def velocity_loss(velocity: Latents, target: Latents) -> PerFrame:
    """Velocity matching, the papers' loss: squared error of the velocity, all flow times alike."""
    return ((velocity - target) ** 2).mean((3, 4, 5))


def flow_loss(
    predicted: Latents, data: Latents, tau: Float[Array, "b"], sigma, limit: float
) -> PerFrame:
    """Squared error of the predicted data, weighted 1 + (sigma (1 - tau) / tau)^2 up to a limit.

    The weight undoes the factor that the preconditioning puts on the network's output: below the
    limit this is sigma^2 times the squared error of the residual.
    """
    tau = bcast(tau, data)
    weight = 1 + (sigma * (1 - tau) / jnp.maximum(tau, 0.02)) ** 2
    return (jnp.minimum(weight, limit) * (predicted - data) ** 2).mean((3, 4, 5))


def mean_loss(predicted: Latents, data: Latents) -> PerFrame:
    """Squared and smooth absolute error of the latents, smooth absolute one of their differences.

    Where much is possible (holes) errors are large and the square leads to the mean; where little
    is (what the source sees) they are small and the absolute terms keep edges sharp.
    """

    def absolute(x):
        return jnp.sqrt(x * x + 1e-4).mean((3, 4, 5))

    error = predicted - data
    rows, columns = jnp.diff(error, axis=-3), jnp.diff(error, axis=-2)
    squared = (error**2).mean((3, 4, 5))
    return 2 * squared + absolute(error) / 2 + absolute(rows) + absolute(columns)


def mean_of(frames: Float[Array, "b v t"], values: PerFrame) -> Float[Array, "b"]:
    """The mean of each clip's values over the frames that are 1 in `frames`, at least one."""
    return (frames * values).sum((1, 2)) / frames.sum((1, 2))
