"""Maps of another size."""

from typing import TypeVar

import jax
import numpy as np

Map = TypeVar("Map", np.ndarray, jax.Array)


def nearest(values: Map, height: int, width: int) -> Map:
    """Return maps (... r q) at another size (... height width), each pixel that of the nearest.

    Means, as of depth, would smear edges.
    """
    rows, columns = values.shape[-2:]
    row = ((np.arange(height) + 0.5) * rows / height).astype(int)
    column = ((np.arange(width) + 0.5) * columns / width).astype(int)
    return values[..., row[:, None], column]
