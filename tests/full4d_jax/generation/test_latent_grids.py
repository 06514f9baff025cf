"""Grids without projection through a codec with a stride in time: what is given, what is read."""

import dataclasses

import jax
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import DEFAULT, ModelConfig, SamplerConfig, check_config
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import prior_with

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
