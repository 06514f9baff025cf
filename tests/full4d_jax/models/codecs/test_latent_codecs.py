"""A codec with a stride in time and weights from a file, from training to a fitted scene."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import DEFAULT, LiftConfig, ModelConfig, check_config
from full4d_jax.generation.batch import Batch, make_conditions
from full4d_jax.generation.generate import bind_prior, generate_grid
from full4d_jax.generation.prior import prior_with
from full4d_jax.grid import around_source
from full4d_jax.media.pictures import to_uint8
from full4d_jax.models.codecs.codec import codec_weights
from full4d_jax.scene.source_fit import lift_grid
from full4d_jax.session.errors import InputError
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step
from input_pipeline.cameras import intrinsics_from_fov, orbit

VIEWS, FRAMES, SIDE = 3, 5, 32
MODEL = ModelConfig(
    codec="wan22",
    codec_stride=16,
    width=32,
    layers=1,
    heads=2,
    ffn=32,
    patch=1,
    projection="frames",
    prediction="velocity",
    refiner=0,
)


@pytest.fixture(scope="module")
def config(random_codec):
    sizes = {"views": VIEWS, "frames": FRAMES, "height": SIDE, "width": SIDE}
    return dataclasses.replace(
        DEFAULT,
        model=MODEL,
        codec_weights=random_codec("wan22"),
        data=dataclasses.replace(DEFAULT.data, **sizes),
        lift=LiftConfig(steps=4, capacity=100),
    )


@pytest.fixture(scope="module")
def clip():
    rng = np.random.default_rng(0)
    poses = np.repeat(orbit(np.linspace(0, 40, VIEWS), np.zeros(VIEWS))[:, None], FRAMES, 1)
    lens = np.repeat(intrinsics_from_fov(55.0, SIDE, SIDE)[None], VIEWS, 0)
    frames = rng.uniform(-1, 1, (VIEWS, FRAMES, SIDE, SIDE, 3))
    depth = rng.uniform(0.9, 1.1, (FRAMES, SIDE, SIDE))
    arrays = frames, depth, lens, poses
    return Batch(*map(jnp.float32, arrays))


def test_conditions_have_one_entry_a_latent_frame(config, clip):
    given = clip.frames[:1], clip.depth[None], clip.cameras
    conditions, projection = jax.eval_shape(
        lambda: make_conditions(config.model, *given, codec_weights(config))
    )
    grid = (VIEWS, 2, 2, 2)
    assert conditions.projection.shape == conditions.base.shape == (*grid, 48)
    assert conditions.mask.shape == conditions.disparity.shape == grid
    assert conditions.world_to_camera.shape == (VIEWS, 2, 4, 4)
    assert projection.frames.shape == (VIEWS - 1, FRAMES, SIDE, SIDE, 3)


def test_a_grid_is_sampled(config, clip):
    check_config(config)
    params = random_params(config.model)
    prior, key = prior_with(config, params), jax.random.key(1)
    grid, _ = generate_grid(prior, clip.frames[:1], clip.depth[None], clip.cameras, key)
    assert grid.shape == clip.frames.shape
    np.testing.assert_array_equal(grid[0], clip.frames[0])
    assert float(jnp.abs(grid[1:, 1:] - grid[1:, :1]).max()) > 1e-3


@pytest.mark.slow
def test_distillation_decodes_what_the_prior_says(config, clip):
    params = random_params(config.model)
    frames = to_uint8(clip.frames / 2 + 0.5)
    grid = around_source(frames, np.asarray(clip.depth)[None], clip.cameras)
    prior = prior_with(config, params)
    scene = lift_grid(config.lift, grid, jax.random.key(1), prior=prior)
    assert np.isfinite(scene.gaussians.means).all()


def test_a_step_trains_on_latents(config, clip):
    state = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), clip)
    after, metrics = jax.eval_shape(train_step(config), state, batch, codec_weights(config))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert metrics["loss"].shape == ()
    with pytest.raises(InputError, match="give its path as --codec_weights"):
        jax.eval_shape(train_step(config), state, batch)


def test_a_video_of_another_length_is_refused(config, clip):
    params = random_params(config.model)
    given = clip.frames[:1, :4], clip.depth[None, :4], clip.cameras.frames(slice(4))
    prior = prior_with(config, params)
    with pytest.raises(InputError, match=r"found 4, expected 1 \+ a multiple of 4"):
        bind_prior(prior, *given)
    with pytest.raises(InputError, match=r"found 4, expected 1 \+ a multiple of 4"):
        generate_grid(prior, *given, jax.random.key(0))
