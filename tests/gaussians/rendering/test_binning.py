"""Tile lists against a brute-force search over all pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.rendering.binning import Tiles, bin_quarters, bin_splats, count_slots
from gaussians.rendering.compositing_cpu import list_splats
from gaussians.rendering.projection import Splats


def splats(g=60) -> Splats:
    rng = np.random.default_rng(0)
    angle, radii = rng.uniform(0, np.pi, g), rng.uniform(0.6, 5, (2, g))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn.transpose(2, 0, 1)
    covariance = turn * (radii.T**2)[:, None] @ turn.swapaxes(1, 2)
    conic = np.linalg.inv(covariance)
    sigmas = np.where(rng.uniform(size=g) < 0.1, 0.0, rng.uniform(1, 3.33, g))
    box = np.ceil(sigmas[:, None] * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)))
    centers = rng.uniform(-6, [46, 30], (g, 2))
    conics = np.stack([conic[:, 0, 0], conic[:, 0, 1], conic[:, 1, 1]], -1)
    arrays = centers, conics, rng.uniform(1, 5, g), np.full(g, 0.5), sigmas, box
    return Splats(*map(jnp.float32, arrays))


def list_quarters(scene, tiles, slots):
    return list_splats(scene, tiles.quarters, 2 * slots)


@pytest.mark.parametrize("bin_all", [bin_splats, bin_quarters, list_quarters])
def test_every_tile_lists_the_splats_that_reach_its_pixels_in_depth_order(bin_all):
    in_quarters = bin_all is not bin_splats
    scene, tiles = splats(), Tiles(41, 25, 16 if in_quarters else 8)
    slots = int(count_slots(scene, tiles))
    bins = jax.jit(bin_all, static_argnums=(1, 2))(scene, tiles, slots)
    tiles = tiles.quarters if in_quarters else tiles
    assert int(bins.overflow) == 0
    assert bins.first.shape == bins.length.shape == (tiles.count,)
    centers, conics, depths, _, sigmas, half_sizes = map(np.asarray, scene)
    bins = jax.tree.map(np.asarray, bins)
    listed = 0
    for tile in range(tiles.count):
        row, column = divmod(tile, tiles.columns)
        first, length = int(bins.first[tile]), int(bins.length[tile])
        ids = np.asarray(bins.ids[first : first + length])
        assert (np.diff(depths[ids]) >= 0).all()
        side = np.arange(8) + 0.5
        x, y = np.meshgrid(column * 8 + side, row * 8 + side)
        dx, dy = x.ravel() - centers[:, :1], y.ravel() - centers[:, 1:]
        a, b, c = conics.T[..., None]
        reached = (a * dx * dx + 2 * b * dx * dy + c * dy * dy).min(1) <= sigmas**2
        assert set(np.flatnonzero(reached & (sigmas > 0))) <= set(ids)
        assert not (sigmas[ids] == 0).any()
        listed += length
    # Culling by the ellipse, not by its box: clearly fewer than the boxes meet.
    low, high = ((centers + sign * half_sizes) / 8 for sign in (-1, 1))
    last = np.minimum(np.ceil(high), [tiles.columns, tiles.rows])
    boxes = last - np.maximum(np.floor(low), 0)
    assert listed < 0.9 * np.where(sigmas > 0, boxes.clip(0).prod(1), 0).sum()


@pytest.mark.parametrize("bin_all", [bin_quarters, list_quarters])
def test_a_splat_of_any_width_is_in_every_tile(bin_all):
    flat = Splats(
        *map(
            jnp.float32,
            ([[10, 10]], [[1e-6, 0, 1e-6]], [1], [0.5], [3], [[1e20, 1e20]]),
        )
    )
    bins = jax.jit(bin_all, static_argnums=(1, 2))(flat, Tiles(40, 25, 16), 32)
    np.testing.assert_array_equal(bins.length, np.ones(20))
