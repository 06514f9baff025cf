"""The `deformation` model: still at first, then what its planes say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gaussians import hexplane
from gaussians.deformation import DeformingGaussians, deforming
from gaussians.hexplane import HexPlane
from gaussians.types import Gaussians


def gaussians(g=50) -> Gaussians:
    rng = np.random.default_rng(0)
    arrays = (
        rng.uniform(-1, 1, (g, 3)),
        rng.normal(size=(g, 4)),
        rng.normal(size=(g, 3)),
        rng.normal(size=g),
        rng.normal(size=(g, 1, 3)),
    )
    return Gaussians(*map(jnp.float32, arrays))


def random_planes() -> HexPlane:
    rng = np.random.default_rng(1)
    return HexPlane(
        jnp.float32(rng.normal(size=(3, 4, 4, 2))), jnp.float32(rng.normal(size=(3, 4, 3, 2)))
    )


def test_features_are_those_of_the_nearest_corners_interpolated():
    planes, rng = random_planes(), np.random.default_rng(2)
    points, time = rng.uniform(size=(20, 3)), 0.8

    def look(plane, *places):
        """Linear interpolation in double precision, one axis after another."""
        plane = np.asarray(plane, np.float64)
        for place in places:
            at = place * (plane.shape[0] - 1)
            low = min(int(at), plane.shape[0] - 2)
            plane = (low + 1 - at) * plane[low] + (at - low) * plane[low + 1]
        return plane

    expected = [
        np.concatenate(
            [
                look(planes.space[0], x, y) * look(planes.time[0], z, time),
                look(planes.space[1], x, z) * look(planes.time[1], y, time),
                look(planes.space[2], y, z) * look(planes.time[2], x, time),
            ]
        )
        for x, y, z in points
    ]
    interpolated = jax.jit(hexplane.interpolate_planes)(planes, jnp.float32(points), time)
    np.testing.assert_allclose(interpolated, expected, atol=1e-5)


def test_beyond_the_box_and_the_clip_the_border_counts():
    planes = random_planes()
    interpolate = jax.jit(hexplane.interpolate_planes)
    out = interpolate(planes, jnp.array([[-3.0, 0.5, 9.0]]), 2.0)
    np.testing.assert_array_equal(out, interpolate(planes, jnp.array([[0.0, 0.5, 1.0]]), 1.0))


def test_roughness_of_a_plane_that_bends_once():
    planes = HexPlane(jnp.zeros((3, 4, 4, 1)), jnp.zeros((3, 4, 3, 1)).at[:, :, 1].set(1.0))
    variation, bending = jax.jit(hexplane.roughness)(planes)
    np.testing.assert_allclose((variation, bending), (0.0, 4.0))
    slope = planes._replace(space=jnp.zeros((3, 4, 4, 1)) + jnp.arange(4.0)[None, :, None, None])
    np.testing.assert_allclose(hexplane.roughness(slope)[0], 1.0)


def test_a_new_scene_is_still_and_its_field_can_learn():
    scene = deforming(gaussians(), 4, jax.random.key(0))
    at = jax.jit(DeformingGaussians.at)
    for time in (0.0, 0.7):
        for a, b in zip(at(scene, time), scene.gaussians, strict=True):
            np.testing.assert_array_equal(a, b)
    slope = jax.jit(jax.grad(lambda s: s.at(0.7).means.sum()))(scene)
    assert float(jnp.abs(slope.outer).max()) > 0
    np.testing.assert_array_equal(slope.box, 0)


def test_at_moves_turns_and_scales_and_leaves_colour_and_opacity():
    scene = deforming(gaussians(), 4, jax.random.key(0))
    scene = scene._replace(outer=jnp.ones_like(scene.outer) * 0.1)
    now = jax.jit(DeformingGaussians.at)(scene, 0.5)
    low, high = scene.box
    points = (scene.gaussians.means - low[None]) / (high - low)[None]
    hidden = np.asarray(hexplane.interpolate_planes(scene.planes, points, 0.5) @ scene.inner)
    change = np.maximum(hidden, 0).sum(1, keepdims=True) * 0.1
    assert change.max() > 0.01
    for name in ("means", "quaternions", "log_scales"):
        moved = getattr(now, name) - getattr(scene.gaussians, name)
        np.testing.assert_allclose(moved, change + 0 * moved, atol=1e-5)
    np.testing.assert_array_equal(now.logit_opacities, scene.gaussians.logit_opacities)
    np.testing.assert_array_equal(now.harmonics, scene.gaussians.harmonics)


def test_too_few_instants_are_refused():
    with pytest.raises(ValueError, match="at least 3 instants, found 2"):
        deforming(gaussians(), 2, jax.random.key(0))
