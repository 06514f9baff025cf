"""Grids without poses that are larger than the network sees at once, through `fill_grid`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import ModelConfig, SamplerConfig
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.real_frames import row_and_column

VIEWS, FRAMES, SIDE = 7, 5, 8
PARTS = SamplerConfig(group_views=4, window_frames=3)  # 2 groups of 3 others, 2 of 2
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def setting():
    """A network with random parameters, and the frames of a grid."""
    model = ModelConfig(
        width=16, layers=1, heads=1, ffn=16, refiner=0, patch=4, projection="none",
        attention="two_stream_soft", cameras=(), rope_folds_views=True,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frames = rng.uniform(-1, 1, (VIEWS, FRAMES, SIDE, SIDE, 3)).astype(np.float32)
    return model, random_params(model, 0.2), jnp.asarray(frames)


def fill(setting, sampler, views=tuple(range(VIEWS)), instants=tuple(range(FRAMES))):
    """Fill the grid, or some of its views and instants as if nothing else were there."""
    model, params, frames = setting
    chosen = np.ix_(list(views), list(instants))
    real = row_and_column(VIEWS, FRAMES)[chosen]
    return np.asarray(fill_grid(Prior(model, sampler, params), frames[chosen], real, KEY))


def test_every_part_is_filled_as_if_it_were_alone_with_row_and_column(setting):
    """In one call from no noise, where no step mixes the groups."""
    whole = fill(setting, PARTS)
    for views in ((0, 1, 2, 3), (0, 4, 5, 6)):
        for instants in ((0, 1, 2), (0, 3, 4)):
            alone = fill(setting, SamplerConfig(), views, instants)
            np.testing.assert_allclose(whole[np.ix_(views, instants)], alone, atol=1e-5)
    at_once = fill(setting, SamplerConfig())
    assert np.abs(whole - at_once)[1:, 1:].max() > 0.01
