"""The network as a whole: both places of the projection against the oracle, and where it starts."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import oracle
from random_grids import B, random_grid
from random_weights import random_params

from full4d_jax.config import ModelConfig, ProjectionAsFrames, Velocity
from full4d_jax.models.dit import dit

SMALL = ModelConfig(width=48, layers=2, heads=2, ffn=64, refiner=4)
FRAMES = dataclasses.replace(
    SMALL,
    guide=ProjectionAsFrames(),
    parametrisation=Velocity(),
    refiner=0,
    cameras=("linear",),
    rope_folds_views=True,
    camera_projector=True,
    text_width=24,
)


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
def test_equals_oracle_in_values_and_gradients(model):
    z, conditions = random_grid(model)
    params, tau = random_params(model), jnp.full(B, 0.6)

    def by_oracle(q, k, v, pattern):
        return oracle(q, k, v, cross_half=pattern.cross_half, mask=pattern.mask)

    def gradient(attend):
        def loss(params, z):
            apply = dit.velocity(model, params, attend)
            return jnp.sum(jnp.sin(apply(z, tau, conditions)))

        value, gradients = jax.jit(jax.value_and_grad(loss, (0, 1)))(params, z)
        return [np.asarray(x) for x in jax.tree.leaves((value, gradients))]

    for found, expected in zip(gradient(None), gradient(by_oracle), strict=True):
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


def test_starts_at_the_filled_projection():
    z, conditions = random_grid(SMALL)
    params = dit.init_params(SMALL, jax.random.key(1))
    v = velocity(SMALL, params, jnp.zeros_like(z), jnp.ones(B), conditions)
    np.testing.assert_allclose(-v, conditions.base[:, 1:], atol=1e-6)
