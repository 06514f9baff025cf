"""The `deformation` model: still at first, then what its network says."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians.deformation import DeformingGaussians, deforming


def test_a_new_scene_is_still_and_its_network_can_learn(make_scene):
    scene = deforming(make_scene(50), 4, jax.random.key(0))
    at = jax.jit(DeformingGaussians.at)
    for time in (0.0, 0.7):
        np.testing.assert_equal(*jax.device_get((at(scene, time), scene.gaussians)))
    slope = jax.jit(jax.grad(lambda s: s.at(0.7).means.sum()))(scene)
    assert float(jnp.abs(slope.outer).max()) > 0
    np.testing.assert_array_equal(slope.reach, 0)


def test_at_moves_turns_and_scales_and_leaves_colour_and_opacity(make_scene):
    scene = deforming(make_scene(50), 4, jax.random.key(0))
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
