"""Disparity of a full frame jumps where its colours change, and is smooth between."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import solveh_banded
from scipy.ndimage import distance_transform_edt, gaussian_filter

from full4d_jax.source.depth.enlarge import _along_rows, enlarge_disparity, smooth_depth

SCALE = 256 / 96  # a side of the full frame over that of the small one
EDGE = 42  # column where the near half begins, within a small pixel


def shrunk(x: jax.Array) -> jax.Array:
    return jax.image.resize(x, (1, 16, 24, *x.shape[3:]), "linear")


def two_halves(near: float, far: float) -> tuple[jax.Array, jax.Array]:
    """A frame (1 64 96 3), bright where it is near, and its disparity."""
    is_near = (jnp.arange(96) >= EDGE)[None, None] & jnp.ones((1, 64, 1), bool)
    frame = jnp.where(is_near[..., None], 0.8, -0.8) * jnp.ones(3)[None, None, None]
    return frame, jnp.where(is_near, near, far)


def test_an_edge_of_depth_lies_where_the_colours_change():
    frame, disparity = two_halves(2.0, 1.0)
    large = enlarge_disparity(shrunk(disparity), shrunk(frame), frame)
    inside = np.asarray(large)[0, :, 8:-8]
    assert (np.abs(inside[:, : EDGE - 8] - 1) < 0.2).all()
    assert (np.abs(inside[:, EDGE - 8 :] - 2) < 0.2).all()
    smooth = jax.image.resize(shrunk(disparity), large.shape, "cubic")
    errors = [float(jnp.abs(x - disparity).mean()) for x in (large, smooth)]
    assert errors[0] < errors[1] / 3


def picture(mask):
    """A dark thing before a light wall, with some noise."""
    noise = np.random.default_rng(0).normal(0, 0.01, (*mask.shape, 3))
    return (np.where(mask[..., None], -0.6, 0.5) + noise).astype(np.float32)


def test_one_row_is_the_least_squares_of_scipy():
    generator = np.random.default_rng(1)
    values, weights = generator.normal(size=(1, 50)), generator.uniform(0, 200, (1, 49))
    banded = np.zeros((2, 50))
    banded[0, 1:] = -weights
    banded[1] = 1 + np.append(weights, 0) + np.append(0, weights)
    found = _along_rows(jnp.float32(values), jnp.float32(weights))
    np.testing.assert_allclose(found[0], solveh_banded(banded, values[0]), atol=1e-5)


def test_a_blurred_step_moves_to_where_colours_change():
    mask = np.zeros((96, 128), bool)
    mask[20:, 40:90] = True
    # As a network tells it: three pixels aside, and soft.
    told = gaussian_filter(np.where(np.roll(mask, 3, 1), np.log(1.0), np.log(2.0)), 4)
    depth = smooth_depth(jnp.exp(jnp.float32(told))[None], picture(mask)[None], SCALE)
    depth = np.asarray(depth)
    inside, outside = (np.asarray(distance_transform_edt(x)) for x in (mask, ~mask))
    near = np.maximum(inside, outside) <= 4
    truth = np.where(mask, 1.0, 2.0)
    both = told, np.log(depth[0])
    before, after = (np.abs(x - np.log(truth))[near].mean() for x in both)
    assert after < before / 3
    row = depth[0, 60]  # half of the jump lies between these two pixels
    assert row[39] / row[40] > np.sqrt(2)
    assert row[90] / row[89] > np.sqrt(2)
