"""Spherical harmonics against scipy's."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import sph_harm_y

from gaussians import harmonics


def real_harmonics(directions: np.ndarray, degree: int) -> np.ndarray:
    """The real basis from scipy's complex one (which carries the Condon-Shortley phase)."""
    x, y, z = directions.T
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    columns = []
    for l in range(degree + 1):
        for m in range(-l, l + 1):
            value = sph_harm_y(l, abs(m), polar, azimuth)
            part = value.imag if m < 0 else value.real
            columns.append(part * (np.sqrt(2) if m else 1))
    return np.stack(columns, -1)


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_basis_matches_scipy(degree):
    directions = np.random.default_rng(0).normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    ours = harmonics.basis(jnp.float32(directions), degree)
    np.testing.assert_allclose(ours, real_harmonics(directions, degree), atol=2e-6)


def test_constant_colour_survives_the_round_trip_in_every_direction():
    rng = np.random.default_rng(1)
    rgb = jnp.float32(rng.uniform(size=(20, 3)))
    directions = jnp.float32(rng.normal(size=(20, 3)))
    coefficients = harmonics.from_rgb(rgb, degree=3)
    assert coefficients.shape == (20, 16, 3)
    np.testing.assert_allclose(harmonics.colors(coefficients, directions, 3), rgb, atol=1e-6)
