"""Rotations and PRoPE against their formulas, and the symmetries of all camera conditioning."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_grids import B, T, V, random_grid
from random_weights import random_params

from full4d_jax.config import ModelConfig
from full4d_jax.config.masks import allowed_frames
from full4d_jax.models.dit import dit
from full4d_jax.models.dit.attention.fused import fused_attention
from full4d_jax.models.dit.attention.positions import (
    rotary_angles,
    rotate,
    turn_by_product,
    turn_in_pairs,
)
from full4d_jax.models.dit.camera_conditioning import projective_transforms, prope
from full4d_jax.models.dit.tokens import TokenGrid

TURNED = ModelConfig(width=12, heads=1, cameras=(), rope_theta=100.0)
CHANNELS = ModelConfig(
    width=48, layers=2, heads=3, ffn=64, refiner=4, cameras=("prope",)
)


@functools.partial(jax.jit, static_argnums=0)
def velocity(model, params, latents, conditions):
    return dit.velocity(model, params)(latents, jnp.full(B, 0.5), conditions)


def test_equals_its_formula_pair_by_pair():
    tokens, heads, width = 3, 2, 16
    q, k, v = (
        np.asarray(
            jax.random.normal(jax.random.key(i), (B, V, T, tokens, heads, width))
        )
        for i in range(3)
    )
    _, conditions = random_grid(CHANNELS)
    motion, lens = conditions.world_to_camera, conditions.intrinsics
    attend = functools.partial(fused_attention, cross_half=True)
    transforms = projective_transforms(motion, lens)
    found = prope(attend, jnp.asarray(q), jnp.asarray(k), jnp.asarray(v), transforms)

    # Relative transforms in double precision: from camera j's image to camera i's.
    shifted = np.array(lens, np.float64)
    shifted[..., :2, 2] -= 0.5
    cameras = np.zeros((V, T, 4, 4))
    cameras[..., 3, 3] = 1
    poses = np.asarray(motion, np.float64)[0, ..., :3, :]
    cameras[..., :3, :] = shifted[0, :, None] @ poses
    cameras = cameras.reshape(-1, 4, 4)
    allowed = allowed_frames(V, T, cross_half=True).reshape(V * T, -1)
    q, k, v, found = (x.reshape(V * T, tokens, heads, width) for x in (q, k, v, found))
    for i in range(V * T):
        for head in range(heads):
            logits, values = [], []
            for j in np.flatnonzero(allowed[i]):
                relative = np.eye(width)
                seen = cameras[i] @ np.linalg.inv(cameras[j])
                relative[:8, :8] = np.kron(np.eye(2), seen)
                logits.append(
                    q[i, :, head] @ relative @ k[j, :, head].T / np.sqrt(width)
                )
                values.append(v[j, :, head] @ relative.T)
            weights = np.exp(np.concatenate(logits, 1))
            expected = weights / weights.sum(1, keepdims=True) @ np.concatenate(values)
            np.testing.assert_allclose(found[i, :, head], expected, atol=2e-5)


@pytest.mark.parametrize("cameras", ["prope", "linear", "plucker"])
def test_target_views_are_a_set_with_their_cameras(cameras):
    model = dataclasses.replace(CHANNELS, cameras=(cameras,))
    latents, conditions = random_grid(model)
    params = random_params(model, 0.2)
    expected = velocity(model, params, latents, conditions)
    swapped = jax.tree.map(
        lambda x: x[:, np.array([0, 2, 1])], jax.device_get(conditions)
    )
    found = velocity(model, params, latents[:, ::-1], swapped)[:, ::-1]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    wrong = velocity(model, params, latents[:, ::-1], conditions)[:, ::-1]
    assert float(jnp.abs(wrong - expected).max()) > 1e-2


@pytest.mark.parametrize("turn", [rotate, turn_by_product])
def test_rotation_is_a_complex_product(turn):
    x = jax.random.normal(jax.random.key(0), (2, 12, 2, 12))
    angles = rotary_angles(jnp.arange(12), TokenGrid(1, 3, 4), 2, TURNED)
    turns = np.exp(1j * angles)[None, :, None]
    numbers = np.asarray(x[..., ::2] + 1j * x[..., 1::2]) * turns
    turned = np.asarray(turn(x, angles))
    np.testing.assert_allclose(turned[..., ::2], np.real(numbers), atol=1e-5)
    np.testing.assert_allclose(turned[..., 1::2], np.imag(numbers), atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "rounding"), [("float32", 1e-6), ("bfloat16", 2**-7)]
)
def test_both_ways_of_turning_have_the_same_gradient(dtype, rounding):
    x, cotangent = (
        jax.random.normal(jax.random.key(i), (2, 12, 2, 12), dtype) for i in range(2)
    )
    angles = rotary_angles(jnp.arange(12), TokenGrid(1, 3, 4), 2, TURNED)
    in_pairs, by_product = (
        jax.vjp(lambda x, turn=turn: turn(x, angles), x)
        for turn in (turn_in_pairs, turn_by_product)
    )
    np.testing.assert_array_equal(in_pairs[0], by_product[0])
    expected, found = (
        np.asarray(pull(cotangent)[0]) for _, pull in (in_pairs, by_product)
    )
    assert found.dtype == expected.dtype == dtype
    found, expected = (x.astype(np.float32) for x in (found, expected))
    np.testing.assert_allclose(found, expected, atol=rounding * np.abs(expected).max())
