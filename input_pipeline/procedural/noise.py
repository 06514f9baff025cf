"""Noise that is a function of a point alone: the same on every machine."""

import itertools

import jax.numpy as jnp
from jaxtyping import Array, Float

from input_pipeline.procedural.shapes import Vector


def value_noise(point: Vector) -> Float[Array, "p"]:
    """Trilinear noise on an integer lattice of hashed values in [0, 1]."""
    corner = [jnp.floor(x) for x in point]
    f = [x - c for x, c in zip(point, corner, strict=True)]
    f = [x * x * (3 - 2 * x) for x in f]
    total = jnp.zeros(point.x.shape)
    for steps in itertools.product((0, 1), repeat=3):
        x, y, z = (x if step else 1 - x for x, step in zip(f, steps, strict=True))
        nodes = (c + step for c, step in zip(corner, steps, strict=True))
        total = total + x * y * z * hashed(Vector(*nodes))
    return total


def hashed(lattice: Vector) -> Float[Array, "p"]:
    """Return a number in [0, 1] for every point of the integer lattice."""
    x, y, z = (c.astype(jnp.int32).astype(jnp.uint32) for c in lattice)
    h = x * jnp.uint32(0x8DA6B343) ^ y * jnp.uint32(0xD8163841) ^ z * jnp.uint32(0xCB1AB31F)
    h = (h ^ (h >> 13)) * jnp.uint32(0x5BD1E995)
    h = h ^ (h >> 15)
    return (h & jnp.uint32(0xFFFF)).astype(jnp.float32) / 65535.0
