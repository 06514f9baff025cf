"""Where the scene starts from, and which cameras are asked between the generated ones."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.camera_paths import PIVOT, angles_of
from full4d_jax.lifting import between, grid_depth
from input_pipeline.cameras import intrinsics_from_fov, orbit


def test_cameras_between_are_half_way_and_look_at_the_pivot():
    azimuths = np.array([0.0, 40.0, -50.0, 15.0])  # the source first, the others in any order
    poses = np.repeat(orbit(azimuths, np.zeros(4))[:, None], 2, 1)
    middle = between(poses)
    assert middle.shape == (3, 2, 4, 4)
    np.testing.assert_allclose(angles_of(middle)[:, 0, 0], [-25, 7.5, 27.5], atol=1e-3)
    seen = middle @ np.array([*PIVOT, 1])
    np.testing.assert_allclose(seen[..., :2], 0, atol=1e-6)  # in the middle of the picture
    np.testing.assert_allclose(np.linalg.det(middle[..., :3, :3]), 1, atol=1e-5)


def test_seeds_are_the_source_and_what_it_does_not_see():
    height = width = 32
    lens = intrinsics_from_fov(55, height, width).astype(np.float32)
    poses = orbit(np.array([0.0, 30.0]), np.zeros(2)).astype(np.float32)[:, None]
    depth = jnp.full((1, height, width), 1.5)
    depth = depth.at[:, 10:20, 12:20].set(0.8)  # something in front of a wall
    frames = jnp.zeros((2, 1, height, width, 3))
    lenses = jnp.stack([jnp.asarray(lens)] * 2)
    seeds = np.asarray(grid_depth(frames, depth, lenses, jnp.asarray(poses)))
    source, hidden = seeds[0, 0], seeds[1, 0]
    np.testing.assert_array_equal(source, depth[0])
    # the camera went right and turned left: it sees more of the wall there, at about its depth
    assert 0.1 < (hidden > 0).mean() < 0.6
    assert hidden[0, 0] > 0
    assert 1.0 < np.median(hidden[hidden > 0]) < 3.0
