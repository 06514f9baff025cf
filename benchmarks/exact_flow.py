"""Says how near 4 steps of a student come to the truth, beside 50 of a teacher whose flow is exact.

    python benchmarks/exact_flow.py                        seconds on one core

Data are points around four corners, of which the models see a noisy copy, as they see a projection
of a view. What may stand there is a mixture of Gaussians, so that its flow is known and only the
student of `full4d_jax/training/few_steps.py` is trained. A sample is as far from the truth as two
samples are from each other; 4 of Euler's steps blur them, which looks nearer to the truth. So few
steps replace 50 where both are as far from it. The last line is JSON.
"""

import argparse
import json
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.evaluation.table import text_table
from full4d_jax.generation.sampling import Velocity, sample, schedule
from full4d_jax.training.few_steps import draw_segments, segment_velocity

CORNERS = jnp.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
SPREAD = 0.5  # standard deviation of data around a corner
BLUR = 0.5  # of the noise that the copy has
SEGMENTS = 4
SHIFT = 3.0
WIDTH = 64
STEPS = 3000
BATCH = 512
SAMPLES = 4096
USUAL = 50  # steps of Wan's sampler
Points = Float[Array, "b 1 1 1 1 2"]
Layers = list[tuple[Float[Array, "i o"], Float[Array, " o"]]]


def main() -> None:
    """Train, sample, compare."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    scores = psnr_to_truth()
    rows = [[name, f"{x:.2f}"] for name, x in scores.items()]
    print(text_table(["from the same noise", "PSNR to truth"], rows))
    print(json.dumps({name: round(x, 4) for name, x in scores.items()}))


def psnr_to_truth() -> dict[str, float]:
    """Return PSNR in dB, of the distance between two corners, by sampler."""
    points, copies, noise = draw(jax.random.key(2), SAMPLES)
    teacher = exact(copies)
    samplers = {
        f"exact, {USUAL} steps": (teacher, USUAL),
        f"exact, {SEGMENTS} steps": (teacher, SEGMENTS),
        f"student, {SEGMENTS} steps": (student(trained(), copies), SEGMENTS),
    }
    scores = {}
    for name, (velocity, steps) in samplers.items():
        end = jax.jit(partial(sample, velocity, times=schedule(steps, SHIFT)))(noise)
        scores[name] = 10 * math.log10(4 / float(((end - points) ** 2).mean()))
    return scores


def draw(key: PRNGKeyArray, count: int) -> tuple[Points, Points, Points]:
    """Return points, their noisy copies, and noise to begin with."""
    keys = jax.random.split(key, 4)
    shape = count, 1, 1, 1, 1, 2
    points = CORNERS[jax.random.randint(keys[0], (count, 1, 1, 1, 1), 0, len(CORNERS))]
    points = points + SPREAD * jax.random.normal(keys[1], shape)
    copies = points + BLUR * jax.random.normal(keys[2], shape)
    return points, copies, jax.random.normal(keys[3], shape)


def exact(copies: Points) -> Velocity:
    """Return the velocity of the flow from noise to the points that have such copies."""
    away = copies[..., None, :] - CORNERS.reshape(1, 1, 1, 1, 1, 4, 2)
    both = SPREAD**2 + BLUR**2
    means = copies[..., None, :] - BLUR**2 / both * away
    variance = SPREAD**2 * BLUR**2 / both

    def velocity(z: Points, tau: Float[Array, "b"]) -> Points:
        tau = tau.reshape(-1, 1, 1, 1, 1, 1, 1)
        of_z = variance * (1 - tau) ** 2 + tau**2
        r = z[..., None, :] - (1 - tau) * means
        likely = -(away**2).sum(-1) / (2 * both) - (r**2 / (2 * of_z)).sum(-1)
        noise = tau / of_z * r
        data = means + variance * (1 - tau) / of_z * r
        return (jax.nn.softmax(likely)[..., None] * (noise - data)).sum(-2)

    return velocity


def fresh(key: PRNGKeyArray) -> Layers:
    """Return the layers of a student, the last zero: it begins as its teacher."""
    sizes = [(7, WIDTH), (WIDTH, WIDTH), (WIDTH, 2)]
    weights = [jax.random.normal(jax.random.fold_in(key, i), x) for i, x in enumerate(sizes)]
    scales = [(2 / 7) ** 0.5, (2 / WIDTH) ** 0.5, 0]
    return [(s * w, jnp.zeros(w.shape[1])) for s, w in zip(scales, weights, strict=True)]


def student(layers: Layers, copies: Points) -> Velocity:
    """Return the velocity of a small network added to the teacher's."""

    def velocity(z: Points, tau: Float[Array, "b"]) -> Points:
        tau = tau.reshape(-1, 1, 1, 1, 1, 1) + jnp.zeros_like(z[..., :1])
        times = [tau, jnp.sin(2 * jnp.pi * tau), jnp.log(tau + 0.02)]
        x = jnp.concatenate([z, copies, *times], -1)
        for weights, bias in layers[:-1]:
            x = jax.nn.silu(x @ weights + bias.reshape(1, 1, 1, 1, 1, -1))
        weights, bias = layers[-1]
        more = x @ weights + bias.reshape(1, 1, 1, 1, 1, -1)
        return exact(copies)(z, tau[:, 0, 0, 0, 0, 0]) + more

    return velocity


@jax.jit
def trained() -> Layers:
    """Return the layers after training."""
    optimizer = optax.adam(optax.cosine_decay_schedule(6e-3, STEPS))

    def step(state, key):
        layers, moments = state
        keys = jax.random.split(key)
        points, copies, noise = draw(keys[0], BATCH)
        times = draw_segments(keys[1], BATCH, SEGMENTS, SHIFT)
        tau = times.tau.reshape(-1, 1, 1, 1, 1, 1)
        z = (1 - tau) * points + tau * noise
        target = segment_velocity(student(layers, copies), exact(copies), z, times)

        def error(layers):
            return ((student(layers, copies)(z, times.tau) - target) ** 2).mean()

        updates, moments = optimizer.update(jax.grad(error)(layers), moments)
        return (optax.apply_updates(layers, updates), moments), None

    layers = fresh(jax.random.key(0))
    state = layers, optimizer.init(layers)
    end: Any = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), STEPS))[0]
    return end[0]


if __name__ == "__main__":
    main()
