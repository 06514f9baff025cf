"""Disagreement of views is measured in the pictures."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.grid import Grid, all_real
from full4d_jax.scene.disagreement import disagreement_arrays, measure_disagreement
from input_pipeline.pinhole import intrinsics_from_fov, orbit

VIEWS, SIDE = 12, 32
ALL = np.arange(VIEWS)


def ring():
    """Twelve cameras all around, at distance 1, that see grey."""
    poses = orbit(30.0 * ALL, np.zeros(VIEWS), 1.0, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(40.0, SIDE, SIDE).astype(np.float32)
    poses = poses[:, None].astype(np.float32)
    cameras = Cameras(np.stack([lens] * VIEWS), poses, SIDE, SIDE)
    frames = np.full((VIEWS, 1, SIDE, SIDE, 3), 100, np.uint8)
    return Grid(
        frames=frames, origin=all_real(frames), times=np.zeros(1), cameras=cameras
    )


def test_a_gain_and_a_turn_are_measured_in_the_view_that_has_them():
    exposures = np.zeros((VIEWS, 2, 3), np.float32)
    exposures[3, 0] = np.log(1.1)
    poses = np.zeros((VIEWS, 2, 3), np.float32)
    grid = ring()
    pixels = 3.0
    # About the vertical.
    poses[8, 0] = [0, pixels / grid.known_cameras.intrinsics[0, 0, 0], 0]
    corrections = jnp.asarray(exposures), jnp.asarray(poses)
    color, place = measure_disagreement(grid, ALL, *corrections)
    words = str(disagreement_arrays(ALL, color, place)["disagreement"])
    assert words.endswith("view 3 most in colour, view 8 in place")
    np.testing.assert_allclose(color[3], 0.1, rtol=1e-3)
    # Eleven twelfths of it; a point at the edge is shifted more than one in the middle.
    np.testing.assert_allclose(place[8], pixels * 11 / 12, rtol=0.1)
