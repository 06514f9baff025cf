"""Morton's curve, along which neighbours in space stand close together."""

import numpy as np
from jaxtyping import Int, UInt64
from numpy import ndarray


def morton_places(cells: Int[ndarray, "g axes"], bits: int) -> UInt64[ndarray, "g"]:
    """Return places on the curve: the lowest bits of cells in turn, the first axis the lowest."""
    numbers = cells.astype(np.uint64)
    axes = cells.shape[1]
    places = np.zeros(len(cells), np.uint64)
    for bit in range(bits):
        for axis in range(axes):
            places |= ((numbers[:, axis] >> bit) & 1) << (axes * bit + axis)
    return places
