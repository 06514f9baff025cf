"""Random weights of a prior, drawn by NumPy: JAX compiles programs for every shape it draws."""

import jax
import numpy as np

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.dit import abstract_params
from full4d_jax.models.functional import Params, by_name, nested


def random_params(model: ModelConfig, spread: float = 0.1, seed: int = 0) -> Params:
    """Draw float32 parameters none of which is zero, so that every part matters.

    Args:
      model: what they are of.
      spread: their standard deviation, around one where norms multiply by them, else around zero.
      seed: of NumPy's generator.
    """
    rng = np.random.default_rng(seed)

    def layer(name: str) -> list[str]:
        """Return a leaf's name in its part of the network, by which the order of draws goes."""
        parts = name.split(".")
        return parts[parts[0] in ("guide", "parametrisation") :]

    shapes = by_name(abstract_params(model))
    drawn = {}
    for name in sorted(shapes, key=layer):
        center = float(name.endswith(".scale"))
        drawn[name] = rng.normal(center, spread, shapes[name].shape).astype(np.float32)
    return jax.device_put(nested(drawn))
