"""Real subsets of a grid, and what the network and the sampler do with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.cameras import Cameras
from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    ModelConfig,
    MovedBase,
    RealFrames,
    Residual,
    SamplerConfig,
    Velocity,
)
from full4d_jax.generation.batch import Batch, prepare
from full4d_jax.generation.generate import fill_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.real_frames import (
    conditions_of_real,
    copy_nearest,
    row_and_column,
)
from full4d_jax.geometry.image_motion import carried_motion
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.dit.dit import velocity
from full4d_jax.models.dit.moved_base import mixture
from full4d_jax.training.loss import loss

MODEL = ModelConfig(
    width=16,
    heads=2,
    layers=1,
    ffn=16,
    patch=4,
    refiner=4,
    guide=RealFrames(),
    cameras=(),
)


def random_grid(views=3, times=3):
    shape = (views, times, 8, 8, 3)
    return jnp.asarray(np.random.default_rng(2).uniform(-1, 1, shape), jnp.float32)


def bind(model, params, grid, real):
    lens = jnp.broadcast_to(jnp.eye(3), (1, len(grid), 3, 3))
    poses = jnp.broadcast_to(jnp.eye(4), (1, *grid.shape[:2], 4, 4))
    conditions = conditions_of_real(
        grid[None], jnp.asarray(real)[None], Cameras(lens, poses, 8, 8)
    )
    apply = jax.jit(velocity(model, params))
    return lambda z, tau: apply(z, tau, conditions)


@pytest.mark.parametrize("parametrisation", [Residual(), Velocity()], ids=str)
def test_given_frames_are_clean_and_stand_still(parametrisation):
    model = dataclasses.replace(MODEL, parametrisation=parametrisation)
    grid, real = random_grid(), row_and_column(3, 3)
    apply = bind(model, random_params(model, 0.2), grid, real)
    z = jax.random.normal(jax.random.key(1), (1, *grid.shape))
    found = np.asarray(apply(z, jnp.ones(1)))
    assert not found[0][real].any()
    # What the state holds in given frames does not matter, nor what flow time they are said to be
    # at; what is given does.
    other = jnp.where(real[None, ..., None, None, None], 7.0, z)
    mixed = jnp.where(real[None], 0.3, 1.0)
    np.testing.assert_array_equal(apply(other, mixed), found)
    changed = bind(model, random_params(model, 0.2), grid.at[0, 1].add(0.5), real)
    assert np.abs(np.asarray(changed(z, jnp.ones(1))) - found).max() > 1e-3


MOVING = dataclasses.replace(MODEL, parametrisation=MovedBase())


def test_an_untrained_residual_is_the_moved_frame():
    params = jax.device_put(jax.tree.map(np.zeros_like, random_params(MOVING)))
    prior = Prior(MOVING, SamplerConfig(), params)
    grid, real = random_grid(), row_and_column(3, 3)
    motion = carried_motion(to_uint8(to_unit(grid)))
    assert np.abs(motion).max() > 0.1
    filled = fill_grid(prior, grid, real, jax.random.key(0))
    hidden = np.s_[1:, 1:]
    near = jnp.broadcast_to(grid[:, :1], grid.shape)[hidden]
    expected = mixture(
        near, jnp.broadcast_to(grid[:1], grid.shape)[hidden], motion[hidden]
    )
    np.testing.assert_allclose(filled[hidden], expected.picture, atol=1e-6)
    assert np.abs(expected.share * expected.added).max() > 0.1
    row = np.indices((3, 3))[0] == 0  # nothing is carried over
    filled = fill_grid(prior, grid, row, jax.random.key(0))
    np.testing.assert_allclose(filled, copy_nearest(grid, jnp.asarray(row)), atol=1e-6)


def test_the_loss_counts_hidden_frames():
    data = DataConfig(views=3, frames=3, height=8, width=8)
    config = Config(model=MODEL, data=data, flow=FlowConfig(mean_share=1.0))
    frames = jnp.stack([random_grid(), -random_grid()])
    eye = jnp.broadcast_to(jnp.eye(4), (2, 3, 3, 4, 4))
    batch = Batch(frames, jnp.zeros((2, 3, 8, 8)), eye[:, :, 0, :3, :3], eye)
    params = jax.device_put(jax.tree.map(np.zeros_like, random_params(MODEL)))
    key = jax.random.key(4)
    measure = jax.jit(lambda batch: loss(config, params, batch, key))
    _, metrics = measure(batch)
    # A network of zeros answers with the first guess, the nearest real frame.
    prepare_key = jax.random.split(key, 3)[0]
    encode = jax.jit(prepare, static_argnums=(2, 3))
    latents, conditions, _ = encode(batch, prepare_key, MODEL, data)
    real, errors = np.asarray(conditions.real), []
    for clip in range(2):
        guess = copy_nearest(latents[clip], jnp.asarray(real[clip]))
        errors.append(np.square(np.asarray(guess - latents[clip]))[~real[clip]].mean())
    assert float(metrics["mean_error"]) == pytest.approx(np.mean(errors), rel=1e-5)
    # Of a still scene the guess is right; then the smooth absolute errors are 0.01 in each frame
    # that counts, however many are given.
    still = batch._replace(frames=jnp.broadcast_to(frames[:, :1, :1], frames.shape))
    assert float(measure(still)[0]) == pytest.approx(0.025, rel=1e-4)
