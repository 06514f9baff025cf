"""Rotations against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from gaussians.rotation import rotation_matrix


def test_matrix_matches_scipy_at_any_length():
    quaternions = np.random.default_rng(0).normal(size=(50, 4)) * 3
    expected = Rotation.from_quat(quaternions, scalar_first=True).as_matrix()
    np.testing.assert_allclose(rotation_matrix(jnp.float32(quaternions)), expected, atol=1e-6)


def test_zero_quaternion_is_the_identity_with_finite_gradient():
    np.testing.assert_array_equal(rotation_matrix(jnp.zeros(4)), np.eye(3))
    assert np.isfinite(jax.jit(jax.jacobian(rotation_matrix))(jnp.zeros(4))).all()
