"""PRoPE against its formula pair by pair, and the symmetries of all camera conditioning."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import ModelConfig
from full4d_jax.config.masks import allowed_frames
from full4d_jax.models import dit
from full4d_jax.models.attention.fused import fused_attention
from full4d_jax.models.attention.prope import projective_transforms, prope

B, V, T, SIDE = 1, 3, 2, 16
CHANNELS = ModelConfig(width=48, layers=2, heads=3, ffn=64, refiner=4, cameras=("prope",))


@functools.partial(jax.jit, static_argnums=1)
def rigid(key, shape=()):
    """Random rigid motions (*shape, 4, 4)."""
    rotation_key, shift_key = jax.random.split(key)
    rotation, _ = jnp.linalg.qr(jax.random.normal(rotation_key, (*shape, 3, 3)))
    rotation = rotation * jnp.linalg.det(rotation)[..., None, None]
    matrices = jnp.zeros((*shape, 4, 4)).at[..., 3, 3].set(1).at[..., :3, :3].set(rotation)
    return matrices.at[..., :3, 3].set(jax.random.normal(shift_key, (*shape, 3)))


@jax.jit
def lenses(key):
    """Intrinsics (b v 3 3) in units of the image, a different lens for every view."""
    fx, fy, cx, cy = jax.random.uniform(key, (4, B, V), minval=0.4, maxval=1.2)
    matrices = jnp.zeros((B, V, 3, 3)).at[..., 2, 2].set(1)
    matrices = matrices.at[..., 0, 0].set(fx).at[..., 1, 1].set(fy)
    return matrices.at[..., 0, 2].set(cx / 2).at[..., 1, 2].set(cy / 2)


def grid(model: ModelConfig):
    """Latents and conditions with random cameras, and parameters of which none is zero."""
    keys = iter(jax.random.split(jax.random.key(0), 10))
    shape = (B, V, T, SIDE, SIDE, 3)
    conditions = dit.Conditions(
        projection=jax.random.normal(next(keys), shape),
        base=jax.random.normal(next(keys), shape),
        mask=jax.random.bernoulli(next(keys), 0.7, shape[:-1]).astype(jnp.float32),
        disparity=jax.random.uniform(next(keys), shape[:-1]),
        world_to_camera=rigid(next(keys), (B, V, T)),
        intrinsics=lenses(next(keys)),
    )
    generated = V if model.projection == "frames" else V - 1
    latents = jax.random.normal(next(keys), (B, generated, *shape[2:]))
    return latents, conditions, random_params(model, 0.2)


@functools.partial(jax.jit, static_argnums=0)
def velocity(model, params, latents, conditions):
    return dit.velocity(model, params)(latents, jnp.full(B, 0.5), conditions)


def test_equals_its_formula_pair_by_pair():
    tokens, heads, width = 3, 2, 16
    q, k, v = (
        np.asarray(jax.random.normal(jax.random.key(i), (B, V, T, tokens, heads, width)))
        for i in range(3)
    )
    motion, lens = rigid(jax.random.key(3), (B, V, T)), lenses(jax.random.key(4))
    attend = functools.partial(fused_attention, cross_half=True)
    transforms = projective_transforms(motion, lens)
    found = prope(attend, jnp.asarray(q), jnp.asarray(k), jnp.asarray(v), transforms)

    # Relative transforms in double precision: from camera j's image to camera i's.
    shifted = np.array(lens, np.float64)
    shifted[..., :2, 2] -= 0.5
    cameras = np.zeros((V, T, 4, 4))
    cameras[..., 3, 3] = 1
    cameras[..., :3, :] = shifted[0, :, None] @ np.asarray(motion, np.float64)[0, ..., :3, :]
    cameras = cameras.reshape(-1, 4, 4)
    allowed = allowed_frames(V, T, cross_half=True).reshape(V * T, -1)
    q, k, v = (x.reshape(V * T, tokens, heads, width) for x in (q, k, v))
    for i in range(V * T):
        for head in range(heads):
            logits, values = [], []
            for j in np.flatnonzero(allowed[i]):
                relative = np.eye(width)
                relative[:8, :8] = np.kron(np.eye(2), cameras[i] @ np.linalg.inv(cameras[j]))
                logits.append(q[i, :, head] @ relative @ k[j, :, head].T / np.sqrt(width))
                values.append(v[j, :, head] @ relative.T)
            weights = np.exp(np.concatenate(logits, 1))
            expected = weights / weights.sum(1, keepdims=True) @ np.concatenate(values)
            np.testing.assert_allclose(
                found.reshape(V * T, tokens, heads, width)[i, :, head], expected, atol=2e-5
            )


@pytest.mark.parametrize("cameras", ["prope", "linear", "plucker"])
def test_target_views_are_a_set_with_their_cameras(cameras):
    model = dataclasses.replace(CHANNELS, cameras=(cameras,))
    latents, conditions, params = grid(model)
    expected = velocity(model, params, latents, conditions)
    swapped = jax.tree.map(lambda x: x[:, np.array([0, 2, 1])], jax.device_get(conditions))
    found = velocity(model, params, latents[:, ::-1], swapped)[:, ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    wrong = velocity(model, params, latents[:, ::-1], conditions)[:, ::-1]
    assert float(jnp.abs(wrong - expected).max()) > 1e-2
