"""Grids without poses filled: through a codec with a stride in time, and larger than is seen."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import (
    DEFAULT,
    ModelConfig,
    RealFrames,
    SamplerConfig,
    TwoStreams,
    check_config,
)
from full4d_jax.generation.generate import fill_grid
from full4d_jax.generation.prior import Prior, prior_with
from full4d_jax.generation.real_frames import row_and_column

MODEL = ModelConfig(
    codec="wan21",
    codec_stride=8,
    width=16,
    layers=1,
    heads=2,
    ffn=16,
    patch=1,
    guide=RealFrames(),
    cameras=(),
    refiner=4,
)


@pytest.fixture(scope="module")
def config(random_codec):
    sizes = {"views": 2, "frames": 5, "height": 16, "width": 16}
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
    shape = (2, 5, 16, 16, 3)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def test_a_grid_is_filled_and_hidden_frames_are_not_read(config, frames):
    params = random_params(MODEL)
    real, key = row_and_column(2, 5), jax.random.key(2)
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


VIEWS, FRAMES, SIDE = 7, 5, 8
PARTS = SamplerConfig(group_views=4, window_frames=3)  # 2 groups of 3 others, 2 of 2
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def setting():
    """A network with random parameters, and the frames of a grid."""
    model = ModelConfig(
        width=16, layers=1, heads=1, ffn=16, refiner=0, patch=4, guide=RealFrames(),
        attention=TwoStreams(), cameras=(), rope_folds_views=True,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frames = rng.uniform(-1, 1, (VIEWS, FRAMES, SIDE, SIDE, 3)).astype(np.float32)
    return model, random_params(model, 0.2), jnp.asarray(frames)


def fill(setting, sampler, views=tuple(range(VIEWS)), instants=tuple(range(FRAMES))):
    """Fill the grid, or some of its views and instants as if nothing else were there."""
    model, params, frames = setting
    chosen = np.ix_(list(views), list(instants))
    real = row_and_column(VIEWS, FRAMES)[chosen]
    return np.asarray(
        fill_grid(Prior(model, sampler, params), frames[chosen], real, KEY)
    )


def test_every_part_is_filled_as_if_it_were_alone_with_row_and_column(setting):
    """In one call from no noise, where no step mixes the groups."""
    whole = fill(setting, PARTS)
    for views in ((0, 1, 2, 3), (0, 4, 5, 6)):
        for instants in ((0, 1, 2), (0, 3, 4)):
            alone = fill(setting, SamplerConfig(), views, instants)
            np.testing.assert_allclose(whole[np.ix_(views, instants)], alone, atol=1e-5)
    at_once = fill(setting, SamplerConfig())
    assert np.abs(whole - at_once)[1:, 1:].max() > 0.01
