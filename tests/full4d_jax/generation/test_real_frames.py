"""Real subsets of a grid, and what the network and the sampler do with them."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig, FlowConfig, ModelConfig, SamplerConfig
from full4d_jax.generation.batch import Batch, make_conditions, mark_first_frame, prepare
from full4d_jax.generation.fill import fill_grid
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.real_frames import (
    conditions_of_real,
    copy_nearest,
    draw_real,
    is_carried,
    row_and_column,
)
from full4d_jax.generation.sampling import schedule
from full4d_jax.geometry.carried_motion import carried_motion
from full4d_jax.media.pictures import to_uint8, to_unit
from full4d_jax.models.conditions import Conditions
from full4d_jax.models.dit import velocity
from full4d_jax.models.warp import mixture
from full4d_jax.training.loss import loss

MODEL = ModelConfig(
    width=16, heads=2, layers=1, ffn=16, patch=4, refiner=4, projection="none", cameras=()
)


def random_grid(views=3, times=3):
    shape = (views, times, 8, 8, 3)
    return jnp.asarray(np.random.default_rng(2).uniform(-1, 1, shape), jnp.float32)


@pytest.mark.parametrize(("views", "times"), [(3, 4), (1, 4), (4, 1), (2, 2)])
def test_drawn_subsets_leave_something_to_do(views, times):
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: draw_real(key, views, times)))(keys))
    count = drawn.sum((1, 2))
    assert count.min() >= 1
    assert count.max() < views * times
    assert len(np.unique(drawn, axis=0)) > min(5, views * times - 1)
    if min(views, times) > 1:
        both = (drawn == row_and_column(views, times)).all((1, 2)).mean()
        assert 0.6 < both < 0.85  # a scattered subset may be the same


def bind(model, params, grid, real):
    lens = jnp.broadcast_to(jnp.eye(3), (1, len(grid), 3, 3))
    poses = jnp.broadcast_to(jnp.eye(4), (1, *grid.shape[:2], 4, 4))
    conditions = conditions_of_real(grid[None], jnp.asarray(real)[None], Cameras(lens, poses, 8, 8))
    apply = jax.jit(velocity(model, params))
    return lambda z, tau: apply(z, tau, conditions)


@pytest.mark.parametrize("prediction", ["residual", "velocity"])
def test_given_frames_are_clean_and_stand_still(prediction):
    model = dataclasses.replace(MODEL, prediction=prediction)
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


@pytest.mark.parametrize("steps", [1, 3])
def test_filling_keeps_what_is_given_and_reads_nothing_else(steps):
    sampler = SamplerConfig(steps=steps, noise=1.0)
    grid, real = random_grid(), row_and_column(3, 3)
    prior, key = Prior(MODEL, sampler, random_params(MODEL, 0.2)), jax.random.key(0)
    filled = np.asarray(fill_grid(prior, grid, real, key))
    np.testing.assert_allclose(filled[real], np.asarray(grid)[real], atol=1e-6)
    hidden = ~real[..., None, None, None]
    np.testing.assert_array_equal(fill_grid(prior, jnp.where(hidden, 9.0, grid), real, key), filled)
    assert np.abs(filled - np.asarray(grid))[~real].min(axis=(1, 2, 3)).max() < 2


MOVING = dataclasses.replace(MODEL, moves_base=True)


def test_what_is_carried():
    both = row_and_column(3, 3)
    row = np.indices((3, 3))[0] == 0
    more = both.copy()
    more[1, 2] = True  # as near to [1, 1] as the column, which comes first
    patterns = jnp.asarray(np.stack([both, row, row.T, more]))
    carried = np.asarray(is_carried(patterns))[..., 0, 0, 0]
    np.testing.assert_array_equal(carried[0], ~both)
    assert not carried[1:3].any()
    np.testing.assert_array_equal(carried[3], ~more)


def test_an_untrained_residual_is_the_moved_frame():
    params = jax.device_put(jax.tree.map(np.zeros_like, random_params(MOVING)))
    prior = Prior(MOVING, SamplerConfig(), params)
    grid, real = random_grid(), row_and_column(3, 3)
    motion = carried_motion(to_uint8(to_unit(grid)))
    assert np.abs(motion).max() > 0.1
    filled = fill_grid(prior, grid, real, jax.random.key(0))
    hidden = np.s_[1:, 1:]
    near = jnp.broadcast_to(grid[:, :1], grid.shape)[hidden]
    expected = mixture(near, jnp.broadcast_to(grid[:1], grid.shape)[hidden], motion[hidden])
    np.testing.assert_allclose(filled[hidden], expected.picture, atol=1e-6)
    assert np.abs(expected.share * expected.added).max() > 0.1
    row = np.indices((3, 3))[0] == 0  # nothing is carried over
    filled = fill_grid(prior, grid, row, jax.random.key(0))
    np.testing.assert_allclose(filled, copy_nearest(grid, jnp.asarray(row)), atol=1e-6)


def test_first_frame_of_the_source_at_flow_time_zero():
    model = dataclasses.replace(
        MODEL, projection="frames", prediction="velocity", first_frame=True, refiner=0
    )
    grid = random_grid(2, 3)[None]
    given = Conditions(
        projection=grid,
        base=grid,
        mask=jnp.ones(grid.shape[:-1]),
        disparity=jnp.ones(grid.shape[:-1]),
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (1, 2, 3, 4, 4)),
        intrinsics=jnp.broadcast_to(jnp.eye(3), (1, 2, 3, 3)),
        real=mark_first_frame(1, 2, 3),
    )
    apply = jax.jit(velocity(model, random_params(model, 0.2)))
    z = jax.random.normal(jax.random.key(1), grid.shape)
    found = np.asarray(apply(z, jnp.full((1,), 0.8), given))
    assert not found[0, 0, 0].any()
    # The same by hand: Wan2.2-TI2V puts the clean frame in its place and gives flow times by frame.
    tau = jnp.full((1, 2, 3), 0.8).at[0, 0, 0].set(0.0)
    by_hand = apply(z.at[:, 0, 0].set(grid[:, 0, 0]), tau, given._replace(real=None))
    np.testing.assert_allclose(found[0, 1], by_hand[0, 1], atol=1e-6)
    free = apply(z, jnp.full((1,), 0.8), given._replace(real=None))
    assert np.abs(found - np.asarray(free))[0, 1].max() > 1e-3


def first_frame_sampling(model, params, key, *, given, steps=3):
    """Target frames of a sampled grid, and Euler's method written out around the bare network.

    Of each view only latents and flow times go in: with `given` the source's first frame is put
    into its place before every call and is at flow time 0, whatever the others' time is.
    """
    frames, depth = random_grid(1, 3), jnp.ones((1, 3, 8, 8))
    lens = jnp.broadcast_to(jnp.array([[8.0, 0, 4], [0, 8, 4], [0, 0, 1]]), (2, 3, 3))
    poses = jnp.broadcast_to(jnp.eye(4), (2, 3, 4, 4)).at[1, :, 0, 3].set(0.2)
    sampler = SamplerConfig(steps=steps, noise=1.0, shift=2.0)
    cameras = Cameras(lens, poses, 8, 8)
    sampled, _ = generate_grid(Prior(model, sampler, params), frames, depth, cameras, key)

    conditions, _ = jax.jit(make_conditions, static_argnums=0)(model, frames, depth, cameras)
    conditions = jax.tree.map(lambda x: x[None], conditions)
    network = jax.jit(velocity(dataclasses.replace(model, first_frame=False), params))
    z = jax.random.normal(key, conditions.projection.shape)
    times = np.asarray(schedule(steps, sampler.shift))
    for tau, then in itertools.pairwise(times):
        by_frame = jnp.full((1, 2, 3), tau)
        if given:
            z = z.at[0, 0, 0].set(frames[0, 0])
            by_frame = by_frame.at[0, 0, 0].set(0.0)
        z = z + (then - tau) * network(z, by_frame, conditions)
    return np.asarray(sampled)[1], np.clip(np.asarray(z)[0, 1], -1, 1)


def test_sampling_holds_the_first_frame_at_flow_time_zero():
    model = dataclasses.replace(
        MODEL,
        projection="frames",
        prediction="velocity",
        refiner=0,
        rope_folds_views=True,
        first_frame=True,
    )
    params, key = random_params(model, 0.2), jax.random.key(0)
    sampled, by_hand = first_frame_sampling(model, params, key, given=True)
    np.testing.assert_allclose(sampled, by_hand, atol=1e-5)
    _, free = first_frame_sampling(model, params, key, given=False)
    assert np.abs(by_hand - free).max() > 1e-2
    without = dataclasses.replace(model, first_frame=False)
    sampled, _ = first_frame_sampling(without, params, key, given=False)
    np.testing.assert_allclose(sampled, free, atol=1e-5)


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
