"""Smeared edges of an estimate count as unknown."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.geometry.depth_maps import drop_depth_edges


def test_edges_are_dropped_and_slopes_are_not():
    y = jnp.arange(1.0, 9.0)[:, None] * jnp.ones((1, 8))
    floor = 4 / y  # a plane seen at a grazing angle
    np.testing.assert_array_equal(drop_depth_edges(floor), floor)
    step = jnp.where(jnp.arange(8) < 4, 1.0, 3.0)[None] * jnp.ones((8, 1))
    dropped = drop_depth_edges(step)
    assert not dropped[:, 3:5].any()
    assert bool((dropped[:, :3] == 1).all())
