"""Random arrays, drawn by NumPy: JAX compiles a program for every shape it draws."""

import jax
import numpy as np
from jax.typing import DTypeLike


def normal(
    seed: int, shape: tuple[int, ...], dtype: DTypeLike = np.float32
) -> jax.Array:
    """Draw standard normal numbers in single precision, and round them to `dtype`."""
    drawn = np.random.default_rng(seed).standard_normal(shape, np.float32)
    return jax.device_put(drawn.astype(dtype))
