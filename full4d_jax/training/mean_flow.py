"""Training of mean velocities by interval splitting (few-step models, `flow.interval_share`).

A network with `model.mean_flow` also gives the mean velocity from tau down to rho, u(z, tau, rho),
with u(z, tau, tau) = v(z, tau) (MeanFlow, arXiv 2505.13447 and 2512.02012). The mean over an
interval is that of the means over its parts (SplitMeanFlow, arXiv 2507.16884). For s between rho
and tau, with z_s = z - (tau - s) u(z, tau, s),

    (tau - rho) u(z, tau, rho) = (tau - s) u(z, tau, s) + (s - rho) u(z_s, s, rho)

The right side is held constant and is the target. Where tau = rho the target is e - x, as in flow
matching. MeanFlow's own identity, v = u + (tau - rho) du/dtau, is the limit s -> tau; docs/speed.md
says why it is not used.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.config.training import FlowConfig
from full4d_jax.flow import Latents
from full4d_jax.models.conditions import Conditions
from full4d_jax.training.accumulation import Part

Times = Float[Array, "b"]


class Interval(NamedTuple):
    """Where the interval of each clip splits (s) and ends (rho)."""

    split: Times
    rho: Times


def draw_interval(config: FlowConfig, key: PRNGKeyArray, tau: Times, part: Part) -> Interval:
    """Draw where each clip's interval splits (s) and ends (rho); both are tau without one.

    Of the clips that train no mean, the first `interval_share` (rounded) have an interval: rho is
    uniform on (0, tau), s uniform on (rho, tau).
    """
    means = round(config.mean_share * part.size)
    intervals = round(config.interval_share * (part.size - means))
    below, between = part.take(jax.random.uniform(jax.random.fold_in(key, 1), (2, part.size)).T).T
    is_interval = (part.places >= means) & (part.places < means + intervals)
    rho = jnp.where(is_interval, below * tau, tau)
    return Interval(jnp.where(is_interval, rho + between * (tau - rho), tau), rho)


def predict_over_interval(
    network: Callable[..., Latents],
    conditions: Conditions,
    z: Latents,
    tau: Times,
    interval: Interval,
    target: Latents,
) -> tuple[Latents, Latents]:
    """Return the network's mean velocities over the intervals, and their targets.

    Args:
      network: (z, tau, conditions, rho) -> mean velocity from tau down to rho.
      conditions: of each clip.
      z: points on the straight paths.
      tau: their flow times.
      interval: where each interval splits and ends.
      target: e - x, the target of clips without an interval.
    """

    def mean_velocity(z: Latents, tau: Times, rho: Times) -> Latents:
        return network(z, tau, conditions, rho)

    split, rho = interval
    v = mean_velocity(z, tau, rho)
    composed = jax.lax.stop_gradient(split_velocity(mean_velocity, z, tau, split, rho))
    return v, jnp.where(flow.bcast(rho < tau, z), composed, target)


def split_velocity(
    mean_velocity: Callable[[Latents, Times, Times], Latents],
    z: Latents,
    tau: Times,
    split: Times,
    rho: Times,
) -> Latents:
    """Return the mean velocity from tau to rho, composed from tau -> split and split -> rho."""
    first = mean_velocity(z, tau, split)
    second = mean_velocity(z - flow.bcast(tau - split, z) * first, split, rho)
    share = flow.bcast((tau - split) / jnp.maximum(tau - rho, 1e-6), z)
    return share * first + (1 - share) * second
