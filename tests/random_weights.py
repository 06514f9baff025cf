"""Random weights of a prior, drawn by NumPy: JAX compiles programs for every shape it draws."""

import jax
import numpy as np

from full4d_jax.config import ModelConfig
from full4d_jax.models.dit.dit import abstract_params
from full4d_jax.models.functional import Params


def random_params(model: ModelConfig, spread: float = 0.1, seed: int = 0) -> Params:
    """Draw float32 parameters none of which is zero, so that every part matters.

    Args:
      model: what they are of.
      spread: their standard deviation, around one where norms multiply by them, else around zero.
      seed: of NumPy's generator.
    """
    rng = np.random.default_rng(seed)

    def draw(path: jax.tree_util.KeyPath, x: jax.ShapeDtypeStruct) -> np.ndarray:
        center = 1.0 if jax.tree_util.keystr(path).endswith("['scale']") else 0.0
        return rng.normal(center, spread, x.shape).astype(np.float32)

    return jax.device_put(jax.tree.map_with_path(draw, abstract_params(model)))
