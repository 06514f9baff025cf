"""Corrections of views follow their equations and have their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from gaussians.fitting.view_corrections import correct_camera, expose
from gaussians.types import Camera

SIZE = 16
RNG = np.random.default_rng(0)
TURN = Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix()


def test_gain_and_offset_are_relative_to_the_mean_of_the_peers():
    rng = np.random.default_rng(1)
    rgb, exposures = rng.uniform(size=(2, 3, 3)), rng.normal(size=(4, 2, 3))
    peers = jnp.full(4, 0.25)
    gain, offset = (exposures - exposures.mean(0))[2]
    found = jax.jit(expose)(jnp.float32(rgb), jnp.float32(exposures), 2, peers)
    np.testing.assert_allclose(found, rgb * np.exp(gain) + offset, atol=1e-5)


def camera():
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = TURN
    pose[:3, 3] = [0.1, -0.2, 0.7]
    lens = jnp.array([[18.0, 0, 8], [0, 18.0, 8], [0, 0, 1]])
    return Camera(jnp.asarray(pose), lens, SIZE, SIZE)


def test_turn_and_shift_are_along_the_worlds_axes_and_relative_to_the_mean():
    corrections = 0.01 * RNG.normal(size=(4, 2, 3))
    turn, shift = (corrections - corrections.mean(0))[2]
    third = jnp.int32(2)
    found = correct_camera(camera(), jnp.float32(corrections), third).world_to_camera
    center = -TURN.T @ [0.1, -0.2, 0.7]
    rotation = TURN @ Rotation.from_rotvec(-turn).as_matrix()
    np.testing.assert_allclose(found[:3, :3], rotation, atol=1e-5)
    np.testing.assert_allclose(found[:3, 3], -rotation @ (center + shift), atol=1e-5)
    all_alike = jnp.float32(corrections + 0.02)
    again = correct_camera(camera(), all_alike, third).world_to_camera
    np.testing.assert_allclose(again, found, atol=1e-6)


def check_gradient(value, at):
    """The slope along a random direction is the difference quotient."""
    direction = jnp.float32(RNG.normal(size=at.shape))
    slope = float((jax.jit(jax.grad(value))(at) * direction).sum())
    step = 1e-2
    ends = value(at + step * direction), value(at - step * direction)
    difference = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(slope, float(difference), rtol=2e-2)


def test_the_gradients_are_those_of_differences():
    weights = jnp.float32(RNG.normal(size=(4, 4)))
    rgb, of_colors = jnp.float32(RNG.uniform(size=(2, 2, 3, 3)))
    peers = jnp.array([0.0, 0.25, 0.75])

    @jax.jit
    def of_poses(corrections):
        pose = correct_camera(camera(), corrections, jnp.int32(0)).world_to_camera
        return (pose * weights).sum()

    @jax.jit
    def of_exposures(exposures):
        return (expose(rgb, exposures, jnp.int32(0), peers) * of_colors).sum()

    for value in (of_poses, of_exposures):
        check_gradient(value, jnp.float32(0.05 * RNG.normal(size=(3, 2, 3))))
    assert np.isfinite(np.asarray(jax.grad(of_poses)(jnp.zeros((3, 2, 3))))).all()
