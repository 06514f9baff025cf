"""The `deformation` model: still at first, then what its network says."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.deformation import DeformingGaussians, deforming
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


def test_a_new_scene_is_still_and_its_network_can_learn():
    scene = deforming(gaussians(), 4, jax.random.key(0))
    at = jax.jit(DeformingGaussians.at)
    for time in (0.0, 0.7):
        for a, b in zip(at(scene, time), scene.gaussians, strict=True):
            np.testing.assert_array_equal(a, b)
    slope = jax.jit(jax.grad(lambda s: s.at(0.7).means.sum()))(scene)
    assert float(jnp.abs(slope.outer).max()) > 0
    np.testing.assert_array_equal(slope.reach, 0)


def test_at_moves_turns_and_scales_and_leaves_colour_and_opacity():
    scene = deforming(gaussians(), 4, jax.random.key(0))
    scene = scene._replace(outer=jnp.ones_like(scene.outer) * 0.1)
    now = jax.jit(DeformingGaussians.at)(scene, 0.5)
    bias = (scene.biases[1] + scene.biases[2]) / 2
    hidden = np.asarray(scene.embeddings @ scene.inner + bias[None])
    change = np.maximum(hidden, 0).sum(1, keepdims=True) * 0.1
    assert change.max() > 0.01
    for name in ("means", "quaternions", "log_scales"):
        moved = getattr(now, name) - getattr(scene.gaussians, name)
        scale = float(scene.reach) if name == "means" else 1
        np.testing.assert_allclose(moved, scale * change + 0 * moved, atol=1e-5)
    np.testing.assert_array_equal(now.logit_opacities, scene.gaussians.logit_opacities)
    np.testing.assert_array_equal(now.harmonics, scene.gaussians.harmonics)
