"""UniPC for flows (arXiv 2302.04867, B2), the sampler that Wan's videos are made with.

With flow times sigma, alpha = 1 - sigma and lambda = log(alpha / sigma), each call of the network
gives clean latents m = x - sigma v. A step from s to t, with h = lambda_t - lambda_s and r the
lambda before s relative to s, in units of h, first corrects x by what the network says there (but
in the first step), then predicts the next x:

    x_t = sigma_t / sigma_s x_s - alpha_t (e^-h - 1) (m_s + sum_i rho_i D_i)

where D_i are the differences of m that the order allows. So all of it is linear in the last state
and three m's, with numbers that the flow times alone decide (`coefficients`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.generation.sampling import State, Velocity

NETWORK_TIMES = 1000  # Wan's network was trained on whole thousandths of the flow


class Coefficients(NamedTuple):
    """Coefficients of the terms of each of n steps.

    Attributes:
      corrected: of the state before the last prediction, m two calls ago, m one call ago, m now;
        all 0 in the first step, which corrects nothing.
      keeps: whether the predicted state stays as it is: in the first step.
      predicted: of the corrected state, m one call ago, and m now.
    """

    corrected: Float[np.ndarray, "n 4"]
    keeps: Float[np.ndarray, "n"]
    predicted: Float[np.ndarray, "n 3"]


def wan_times(steps: int, shift: float, least_alpha: float = 1e-6) -> Float[np.ndarray, "n"]:
    """Return the `steps` + 1 flow times of Wan's sampler, from nearly 1 down to 0.

    Alpha at the start is not 0, so that its logarithm is finite.
    """
    noise = np.linspace(1, 1 / NETWORK_TIMES, steps + 1)[:-1]
    shifted = shift * noise / (1 + (shift - 1) * noise)
    shifted[0] -= least_alpha
    return np.append(shifted, 0.0)


def coefficients(times: Float[np.ndarray, "n"]) -> Coefficients:
    """Return what the steps between these flow times multiply with, of second order."""
    steps = len(times) - 1
    with np.errstate(divide="ignore"):
        log_snr = np.log(1 - times) - np.log(times)  # infinite at the end
    corrected = np.zeros((steps, 4))
    predicted = np.zeros((steps, 3))
    # The first step knows one m; the last, to infinite lambda, is exact with one.
    orders = [min(2, step + 1, steps - step) for step in range(steps)]
    for step in range(steps):
        if step > 0:
            corrected[step] = _correction(times, log_snr, step, orders[step - 1])
        predicted[step] = _prediction(times, log_snr, step, orders[step])
    keeps = (np.arange(steps) == 0).astype(float)
    return Coefficients(corrected, keeps, predicted)


def _prediction(
    times: Float[np.ndarray, "n"], log_snr: Float[np.ndarray, "n"], step: int, order: int
) -> list[float]:
    """Return the coefficients of x, m one call ago and m now, for the step from `step` on."""
    start = times[step]
    end = times[step + 1]
    h = log_snr[step + 1] - log_snr[step]
    weight = -(1 - end) * np.expm1(-h)
    if order == 1:
        return [end / start, 0.0, weight]
    ratio = (log_snr[step - 1] - log_snr[step]) / h
    pull = weight * 0.5 / ratio
    return [end / start, pull, weight - pull]


def _correction(
    times: Float[np.ndarray, "n"], log_snr: Float[np.ndarray, "n"], step: int, order: int
) -> list[float]:
    """Return the coefficients of x one step before, and of m two, one and no calls ago."""
    start = times[step - 1]
    end = times[step]
    h = log_snr[step] - log_snr[step - 1]
    weight = -(1 - end) * np.expm1(-h)
    if order == 1:
        return [end / start, 0.0, weight / 2, weight / 2]
    ratio = (log_snr[step - 2] - log_snr[step - 1]) / h
    # Moments of the exponential integrator, which the two differences have to meet.
    first = np.expm1(-h) / -h - 1
    second = first / -h - 0.5
    moments = np.array([first, 2 * second]) / np.expm1(-h)
    older, newer = np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), moments)
    pull = weight * older / ratio
    return [end / start, pull, weight - pull - weight * newer, weight * newer]


def sample_unipc(velocity: Velocity, noise: State, times: Float[np.ndarray, "n"]) -> State:
    """Integrate from `noise` at times[0] to 0 by UniPC of second order.

    Args:
      velocity: (z, tau (b,)) -> dz/dtau, all conditions bound.
      noise: the initial state.
      times: decreasing flow times, the last one 0; see `wan_times`.
    """
    table = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), coefficients(times))
    # The network takes whole thousandths, as in training; the solver's times are exact.
    known = np.floor(NETWORK_TIMES * times[:-1]) / NETWORK_TIMES

    def body(state, now):
        before, x, oldest, older = state
        step, tau, exact = now
        clean = x - exact * velocity(x, jnp.full(len(x), tau))
        last, two_ago, one_ago, newest = step.corrected
        corrected = last * before + two_ago * oldest + one_ago * older + newest * clean
        x = step.keeps * x + corrected
        same, one_ago, newest = step.predicted
        return (x, same * x + one_ago * older + newest * clean, older, clean), None

    nothing = jnp.zeros_like(noise)
    steps = (table, jnp.asarray(known, jnp.float32), jnp.asarray(times[:-1], jnp.float32))
    return jax.lax.scan(body, (nothing, noise, nothing, nothing), steps)[0][1]
