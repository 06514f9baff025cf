"""The screen covariance against a Jacobian that JAX takes of the projection itself."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from gaussians.rendering.projection import SCREEN_BLUR, project_gaussians
from gaussians.types import Camera, Gaussians


def test_covariance_is_the_linearised_one_in_double_precision():
    rng = np.random.default_rng(0)
    g = 40
    means = rng.uniform(-0.8, 0.8, (g, 3)) + [0, 0, 3]
    quaternions = rng.normal(size=(g, 4))
    log_scales = rng.normal(-2.5, 0.5, (g, 3))
    view, move = Rotation.from_euler("xyz", [0.1, -0.2, 0.3]).as_matrix(), [0.1, 0.2, -0.1]
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = view, move
    intrinsics = np.array([[50.0, 0, 22], [0, 45.0, 15], [0, 0, 1]])

    def to_screen(point):
        x, y, z = view @ point + np.array(move)
        return jnp.stack([50.0 * x / z + 22, 45.0 * y / z + 15])

    with jax.enable_x64(True):
        exact = jax.jit(jax.vmap(lambda x: (to_screen(x), jax.jacobian(to_screen)(x))))
        centers, jacobians = map(np.asarray, exact(jnp.asarray(means)))
    axes = Rotation.from_quat(quaternions, scalar_first=True).as_matrix()
    axes = axes * np.exp(log_scales)[:, None]
    spread = jacobians @ axes
    covariances = spread @ spread.swapaxes(1, 2) + SCREEN_BLUR * np.eye(2)
    inverse = np.linalg.inv(covariances)

    gaussians = Gaussians(
        *map(jnp.float32, (means, quaternions, log_scales, np.zeros(g), np.zeros((g, 1, 3))))
    )
    camera = Camera(jnp.float32(pose), jnp.float32(intrinsics), 44, 30)
    project_jit = jax.jit(project_gaussians, static_argnames="antialiased")
    splats = project_jit(gaussians, jnp.full(g, 0.5), camera, antialiased=False)
    np.testing.assert_allclose(splats.centers, centers, atol=2e-5)
    expected = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], -1)
    np.testing.assert_allclose(splats.conics, expected, rtol=1e-4, atol=1e-5)
    # The bounding box contains the ellipse on which the falloff reaches 1 / 255.
    sigmas = np.sqrt(2 * np.log(0.5 * 255))
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(splats.half_sizes, np.ceil(sigmas * np.sqrt(variances)))

    dimmed = project_jit(gaussians, jnp.full(g, 0.5), camera, antialiased=True).opacities
    sharp = np.linalg.det(spread @ spread.swapaxes(1, 2)) / np.linalg.det(covariances)
    np.testing.assert_allclose(dimmed, 0.5 * np.sqrt(sharp), rtol=1e-4)
