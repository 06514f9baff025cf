"""The network as a whole: both places of the projection against the oracle, and where it starts."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import oracle
from random_weights import random_params

from full4d_jax.config import ModelConfig
from full4d_jax.models import block, dit

B, V, T, SIDE = 1, 3, 2, 16
SMALL = ModelConfig(width=48, layers=2, heads=2, ffn=64, refiner=4)
FRAMES = dataclasses.replace(
    SMALL,
    projection="frames",
    prediction="velocity",
    refiner=0,
    cameras=("linear",),
    rope_folds_views=True,
    camera_projector=True,
    text_width=24,
)


def conditions_and_latents(model: ModelConfig):
    rng = np.random.default_rng(0)

    def put(array: np.ndarray) -> jax.Array:
        return jax.device_put(array.astype(np.float32))

    def normal(*shape: int) -> jax.Array:
        return put(rng.normal(size=shape))

    shape = (B, V, T, SIDE, SIDE, 3)
    poses = np.tile(np.eye(4), (B, V, T, 1, 1))
    poses[:, 1:, :, :3, 3] = [0.3, -0.1, 0.2]
    conditions = dit.Conditions(
        projection=normal(*shape),
        base=normal(*shape),
        mask=put(rng.random(shape[:-1]) < 0.7),
        disparity=put(rng.random(shape[:-1])),
        world_to_camera=put(poses),
        intrinsics=put(np.tile(np.eye(3), (B, V, 1, 1))),
        text=normal(B, 5, 24) if model.text_width else None,
    )
    generated = V if model.projection == "frames" else V - 1
    return normal(B, generated, *shape[2:]), conditions


@partial(jax.jit, static_argnums=0)
def velocity(model, params, z, tau, conditions):
    """One program; each operation would else be a program of its own."""
    return dit.velocity(model, params)(z, tau, conditions)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(SMALL, id="channels"),
        pytest.param(FRAMES, id="frames", marks=pytest.mark.slow),
    ],
)
def test_equals_oracle_in_values_and_gradients(model, monkeypatch):
    z, conditions = conditions_and_latents(model)
    params, tau = random_params(model), jnp.full(B, 0.6)

    def gradient():
        def loss(params, z):
            return jnp.sum(jnp.sin(dit.velocity(model, params)(z, tau, conditions)))

        value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, z)
        return [np.asarray(x) for x in jax.tree.leaves((value, gradients))]

    fused = gradient()
    monkeypatch.setattr(block, "fused_attention", oracle)
    for found, expected in zip(fused, gradient(), strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_starts_at_the_filled_projection():
    z, conditions = conditions_and_latents(SMALL)
    params = dit.init_params(SMALL, jax.random.key(1))
    v = velocity(SMALL, params, jnp.zeros_like(z), jnp.ones(B), conditions)
    np.testing.assert_allclose(-v, conditions.base[:, 1:], atol=1e-6)
