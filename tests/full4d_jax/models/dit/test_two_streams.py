"""Two streams, sequential and full attention against the single-video network they are made of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from random_grids import without_projection
from random_weights import random_params

from full4d_jax.config import (
    Fused,
    ModelConfig,
    RealFrames,
    Sequential,
    TwoStreams,
    Velocity,
)
from full4d_jax.config.model import Attention
from full4d_jax.models.dit.dit import velocity
from full4d_jax.models.initial_params import complete_params

FUSED = ModelConfig(
    width=16,
    heads=2,
    layers=2,
    ffn=16,
    patch=4,
    refiner=0,
    guide=RealFrames(),
    parametrisation=Velocity(),
    cameras=(),
    rope_folds_views=True,
)
VIEWS, TIMES = 3, 4


def of(attention: Attention, **changes) -> ModelConfig:
    return dataclasses.replace(FUSED, attention=attention, **changes)


def grid(views: int = VIEWS, times: int = TIMES, batch: int = 2):
    z = np.random.default_rng(1).normal(size=(batch, views, times, 8, 8, 3))
    return jnp.asarray(z, jnp.float32)


def run(model, params, z, tau=0.7):
    apply = jax.jit(velocity(model, params))
    return np.asarray(apply(z, jnp.full((len(z),), tau), without_projection(z)))


def test_soft_starts_as_the_base_on_every_row_and_column():
    base = random_params(FUSED, 0.2)
    model = of(TwoStreams())
    found = run(model, complete_params(model, base, jax.random.key(5)), grid())
    rows = run(FUSED, base, rearrange(grid(), "b v t ... -> (b v) 1 t ..."))
    columns = run(FUSED, base, rearrange(grid(), "b v t ... -> (b t) v 1 ..."))
    rows = rearrange(rows, "(b v) 1 t ... -> b v t ...", v=VIEWS)
    columns = rearrange(columns, "(b t) v 1 ... -> b v t ...", t=TIMES)
    assert np.abs(rows - columns).max() > 0.1
    np.testing.assert_allclose(found, (rows + columns) / 2, atol=2e-5)


def reads(attention: Attention, layers: int) -> np.ndarray:
    """Frames (last two axes) that the frame (1, 2) depends on."""
    model = of(attention, layers=layers)
    params = random_params(model, 0.2)
    if attention == TwoStreams("soft") and layers == 1:
        # What mixes after the only layer would hide which stream a dependence comes from.
        layer = params["blocks"]["synchronization"]
        layer["mix"] = jax.tree.map(jnp.zeros_like, layer["mix"])
    apply, z = jax.jit(velocity(model, params)), grid(batch=1)
    tau, given = jnp.full((1,), 0.5), without_projection(z)
    before, found = apply(z, tau, given), np.zeros((VIEWS, TIMES), bool)
    for view, time in np.ndindex(VIEWS, TIMES):
        after = apply(z.at[0, view, time].add(0.5), tau, given)
        found[view, time] = np.abs(np.asarray(after - before))[0, 1, 2].max() > 1e-5
    return found


def test_who_reads_whom():
    cross = np.zeros((VIEWS, TIMES), bool)
    cross[1], cross[:, 2] = True, True
    everything = np.ones_like(cross)
    for attention, layers, expected in (
        (Fused(), 1, cross),
        (TwoStreams("soft"), 1, cross),
        (TwoStreams("hard"), 2, everything),
        (Sequential(), 1, everything),
        (Fused("full"), 1, everything),
    ):
        np.testing.assert_array_equal(
            reads(attention, layers), expected, err_msg=str(attention)
        )
