"""The type in which matrix products and convolutions run."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from full4d_jax.config import ModelConfig


def product_type(config: ModelConfig) -> DTypeLike:
    """Return bfloat16 or float32, as `config.precision` says; "auto" is float32 on CPU alone."""
    auto = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    return jnp.dtype(auto if config.precision == "auto" else config.precision)
