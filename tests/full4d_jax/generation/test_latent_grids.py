"""Grids without projection through a codec with a stride in time: what is given, what is read."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import DEFAULT, ModelConfig, SamplerConfig, check_config
from full4d_jax.generation.batch import Batch, prepare
from full4d_jax.generation.fill import fill_grid, whole_latents
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.codecs.codec import codec_weights
from full4d_jax.session.errors import InputError
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step

VIEWS, FRAMES, SIDE = 2, 5, 16
MODEL = ModelConfig(
    codec="wan21",
    codec_stride=8,
    width=16,
    layers=1,
    heads=2,
    ffn=16,
    patch=1,
    projection="none",
    cameras=(),
    refiner=4,
)


@pytest.fixture(scope="module")
def config(random_codec):
    sizes = {"views": VIEWS, "frames": FRAMES, "height": SIDE, "width": SIDE}
    config = dataclasses.replace(
        DEFAULT,
        model=MODEL,
        codec_weights=random_codec("wan21"),
        data=dataclasses.replace(DEFAULT.data, **sizes),
        sampler=SamplerConfig(steps=2, noise=1.0),
    )
    check_config(config)
    return config


@pytest.fixture(scope="module")
def frames():
    shape = (VIEWS, FRAMES, SIDE, SIDE, 3)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def row_and_starts():
    """The whole first view, and of the others the first frame."""
    real = np.zeros((VIEWS, FRAMES), bool)
    real[0], real[:, 0] = True, True
    return real


def test_latents_are_given_where_all_their_frames_are():
    real = np.ones((3, 9), bool)
    real[0, 0], real[1, 5], real[2, 1:] = False, False, False
    expected = [[False, True, True], [True, True, False], [True, False, False]]
    np.testing.assert_array_equal(whole_latents(real, 4), expected)
    np.testing.assert_array_equal(whole_latents(real, 1), real)


def test_a_grid_is_filled_and_hidden_frames_are_not_read(config, frames):
    params = random_params(MODEL)
    real, key = row_and_starts(), jax.random.key(2)
    prior = prior_with(config, params)
    filled = np.asarray(fill_grid(prior, frames, real, key))
    assert filled.shape == frames.shape
    hidden = ~real[..., None, None, None]
    again = fill_grid(prior, np.where(hidden, 0.5, frames), real, key)
    np.testing.assert_array_equal(again, filled)
    # What is given comes back as where everything is, when only the codec acts.
    whole = np.asarray(fill_grid(prior, frames, np.ones_like(real), key))
    np.testing.assert_allclose(filled[real], whole[real], atol=1e-5)
    assert np.abs(filled - whole)[~real].mean() > 1e-2
    # A frame alone is no latent: another one in its place is not read, but its latent is hidden.
    real[1, 4] = True
    np.testing.assert_array_equal(fill_grid(prior, frames, real, key), filled)


def test_offloaded_weights_fill_the_same_grid(config, frames):
    params, given = random_params(MODEL), (frames, row_and_starts())
    sampler = dataclasses.replace(config.sampler, offload=True)
    one = prior_with(config, params)
    kept = prior_with(dataclasses.replace(config, sampler=sampler), params)
    assert {type(x) for x in jax.tree.leaves(kept.codec_weights)} == {np.ndarray}
    assert kept.for_network.codec_weights is None
    found, expected = (fill_grid(x, *given, jax.random.key(2)) for x in (kept, one))
    np.testing.assert_array_equal(found, expected)


def test_grids_of_which_nothing_is_given_are_refused(config, frames):
    prior = prior_with(config, random_params(MODEL))
    real = np.zeros((VIEWS, FRAMES), bool)
    real[:, 1] = True
    with pytest.raises(InputError, match="real: found no whole latent frame"):
        fill_grid(prior, frames, real, jax.random.key(0))
    with pytest.raises(InputError, match=r"frames: found 4, expected 1 \+ a multiple of 4"):
        fill_grid(prior, frames[:, :4], real[:, :4], jax.random.key(0))


def test_training_draws_given_frames_among_latents(config, frames):
    poses = jnp.broadcast_to(jnp.eye(4), (1, VIEWS, FRAMES, 4, 4))
    poses = poses.at[:, :, :, 0, 3].set(jnp.arange(5.0))
    lens = jnp.broadcast_to(jnp.eye(3), (1, VIEWS, 3, 3))
    batch = Batch(jnp.asarray(frames)[None], jnp.zeros((1, FRAMES, SIDE, SIDE)), lens, poses)
    weights = codec_weights(config)

    @jax.jit
    def both(batch):
        return prepare(batch, jax.random.key(0), MODEL, config.data, weights)

    latents, conditions, _ = both(batch)
    assert latents.shape == conditions.base.shape == (1, VIEWS, 2, 2, 2, 16)
    real = np.asarray(conditions.real)
    assert real.shape == (1, VIEWS, 2)
    assert 0 < real.sum() < real.size
    np.testing.assert_array_equal(conditions.base[real], latents[real])
    # The camera of a latent frame is that of the last frame it stands for.
    np.testing.assert_array_equal(conditions.world_to_camera[0, 0, :, 0, 3], [0, 4])
    state = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    after, metrics = jax.eval_shape(train_step(config), state, batch, weights)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics["loss"].shape == ()
