"""Scenes turned from our axes (y down, z forward) to those of glTF, SPZ and 4dgs (y up, z back).

Half a turn around x leads from one to the other, and back.
"""

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

AXES = np.array([1, -1, -1], np.float32)
# By which factor each harmonic of degree 0 to 3 changes when y and z change their signs.
HARMONIC_SIGNS = np.array([1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32)


def turn_vectors(vectors: Float[ndarray, "g 3"]) -> Float32[ndarray, "g 3"]:
    """Return positions or velocities after half a turn around x."""
    return (vectors * AXES).astype(np.float32)


def turn_quaternions(quaternions: Float[ndarray, "g 4"]) -> Float32[ndarray, "g 4"]:
    """Return rotations (w x y z) of Gaussians after half a turn around x.

    Their ellipsoids, which are symmetric, are those of the product with the quaternion (0 1 0 0);
    this result has the axes of each Gaussian reversed, too, and keeps w.
    """
    return (quaternions * np.array([1, 1, -1, -1])).astype(np.float32)


def turn_harmonics(harmonics: Float[ndarray, "g k 3"]) -> Float32[ndarray, "g k 3"]:
    """Return coefficients of view-dependent colour after half a turn around x."""
    return (harmonics * HARMONIC_SIGNS[: harmonics.shape[1], None]).astype(np.float32)
