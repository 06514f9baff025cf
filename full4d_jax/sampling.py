"""Sampling a flow: a schedule of flow times, a stepper, and a velocity, in one scan."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.flow import shift_time

State = Float[Array, "b ..."]
Velocity = Callable[[State, Float[Array, "b"]], State]
Stepper = Callable[[Velocity, State, Float[Array, ""], Float[Array, ""]], State]


def schedule(steps: int, shift: float = 1.0) -> Float[Array, "n"]:
    """`steps` + 1 flow times from 1 down to 0."""
    return shift_time(jnp.linspace(1.0, 0.0, steps + 1), shift)


def euler(velocity: Velocity, z: State, tau: Float[Array, ""], then: Float[Array, ""]) -> State:
    """One step of first order from flow time `tau` to `then`; exact where paths are straight."""
    return z + (then - tau) * velocity(z, jnp.full(z.shape[0], tau))


def heun(velocity: Velocity, z: State, tau: Float[Array, ""], then: Float[Array, ""]) -> State:
    """One step of second order, two calls."""
    first = velocity(z, jnp.full(z.shape[0], tau))
    second = velocity(z + (then - tau) * first, jnp.full(z.shape[0], then))
    return z + (then - tau) * (first + second) / 2


def sample(
    velocity: Velocity,
    noise: State,
    times: Float[Array, "n"],
    stepper: Stepper = euler,
) -> State:
    """Integrate dz/dtau = velocity(z, tau) from `noise` at times[0] to times[-1].

    Args:
      velocity: (z, tau (b,)) -> dz/dtau, all conditions bound.
      noise: the initial state; scaled noise for sampling, zeros for the mean in one step.
      times: decreasing flow times, see `schedule`.
      stepper: `euler` or `heun`.
    """

    def body(z, step):
        return stepper(velocity, z, *step), None

    return jax.lax.scan(body, noise, (times[:-1], times[1:]))[0]


def guided(velocity: Velocity, unconditional: Velocity, scale: float) -> Velocity:
    """Classifier-free guidance: away from the unconditional velocity; 1 is the velocity itself."""
    if scale == 1.0:
        return velocity

    def combined(z, tau):
        without = unconditional(z, tau)
        return without + scale * (velocity(z, tau) - without)

    return combined
