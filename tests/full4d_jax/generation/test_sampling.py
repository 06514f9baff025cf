"""The sampler on flows whose solution is known, of more views and frames than are seen at once."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_arrays import normal
from random_grids import arc
from random_weights import random_params

from full4d_jax.config import (
    Config,
    DataConfig,
    ModelConfig,
    ProjectionAsFrames,
    SamplerConfig,
    Velocity,
)
from full4d_jax.flow import velocity_from_residual
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.sampling import (
    in_groups,
    integrate,
    network_calls,
    sample,
    sample_grid,
    sample_in_windows,
    schedule,
    view_groups,
)
from full4d_jax.models.dit.conditions import Conditions


def test_gaussian_data_gets_its_mean_and_deviation():
    """The exact velocity of N(mean, s^2) carries unit noise to that Gaussian."""
    mean, s = 0.5, 0.3
    noise = jax.random.normal(jax.random.key(0), (1, 1, 1, 40, 40, 1))

    def velocity(z, tau):
        return velocity_from_residual(
            jnp.zeros_like(z), z, tau, jnp.full_like(z, mean), s
        )

    found = sample(velocity, noise, schedule(200))
    np.testing.assert_allclose(found, mean + s * noise, atol=0.02)
    one_call = sample(velocity, 0 * noise, schedule(1))
    np.testing.assert_allclose(one_call, mean, atol=1e-6)


TARGETS, GROUP = 11, 3  # 12 views for a model of 4: the source belongs to every group


def mean_of(members):
    """A different picture for every view."""
    return jnp.sin(1.0 + members)[None, :, None]


def test_views_on_their_own_get_what_plain_sampling_gives():
    """Independent Gaussians: which group a view is in cannot matter."""
    noise = normal(0, (2, TARGETS, 1, 1, 1, 5))

    def velocity(members, z, tau):
        mean = jnp.broadcast_to(mean_of(members)[..., None, None, None], z.shape)
        return velocity_from_residual(jnp.zeros_like(z), z, tau, mean, 0.3)

    times = schedule(8, 2.0)
    everyone = jnp.arange(TARGETS)
    expected = sample(functools.partial(velocity, everyone), noise, times)
    groups = view_groups(TARGETS, GROUP, len(times) - 1)
    found = integrate(in_groups(velocity, groups), noise, times)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("frames", "size", "overlap"), [(11, 4, 1), (3, 4, 2)])
def test_windows_get_a_known_video(frames, size, overlap):
    video, noise = (normal(i, (1, 2, frames, 3)) for i in range(2))
    size_used, calls = min(size, frames), []

    def velocity(start, z, tau):
        calls.append(z.shape)
        data = jax.lax.dynamic_slice_in_dim(video, start, size_used, axis=2)
        return (z - data) / tau.reshape(-1, 1, 1, 1)

    def window(start):
        return lambda _: functools.partial(velocity, start)

    found = sample_in_windows(window, noise, schedule(5), size, overlap)
    np.testing.assert_allclose(found, video, atol=1e-5)
    assert {shape[2] for shape in calls} == {size_used}


@pytest.mark.parametrize("projected", [True, False])
@pytest.mark.parametrize(
    "sampler",
    [
        SamplerConfig(steps=2),
        SamplerConfig(steps=2, group_views=3, text_guidance=2.0),
        SamplerConfig(group_views=3, window_frames=3, window_overlap=1),
    ],
)
def test_calls_of_the_network_are_those_that_sampling_makes(projected, sampler):
    views, frames = 6, 7
    shape = (1, views, frames, 2, 2, 3)
    shown = jnp.zeros(shape if projected else (1, views, 0, 2, 2, 3))
    poses = jnp.tile(jnp.eye(4), (1, views, frames, 1, 1))
    lenses = jnp.tile(jnp.eye(3), (1, views, 1, 1))
    base = jnp.zeros(shape)
    given = Conditions(shown, base, base[..., 0], shown[..., 0], poses, lenses)
    guides = (given,) * (1 + (sampler.text_guidance != 1))
    calls = []

    def bind(guides):
        def velocity(z, tau):
            for _ in guides:
                jax.debug.callback(calls.append, tau)
            return jnp.zeros_like(z)

        return velocity

    noise = base[:, 1:] if projected else base
    jax.block_until_ready(sample_grid(sampler, bind, guides, noise))
    jax.effects_barrier()
    assert len(calls) == network_calls(sampler, views, frames, projected=projected)


VIEWS, FRAMES, SIDE = 12, 7, 8  # for a model of 4 views and 3 frames
KEY = jax.random.key(5)


@pytest.fixture(scope="module", params=["channels", "frames"])
def setting(request):
    """A config, random parameters, and a shot of 12 views by a camera that moves."""
    model = ModelConfig(width=16, layers=1, heads=1, ffn=16, refiner=0, patch=4)
    if request.param == "frames":
        model = dataclasses.replace(
            model,
            guide=ProjectionAsFrames(),
            parametrisation=Velocity(),
            rope_folds_views=True,
        )
    data = DataConfig(views=VIEWS, frames=FRAMES, height=SIDE, width=SIDE)
    rng = np.random.default_rng(0)
    cameras = arc(VIEWS, FRAMES, SIDE, SIDE, 55.0)
    steps = np.broadcast_to(np.eye(4), (FRAMES, 4, 4)).copy()
    steps[:, 0, 3] = np.linspace(0, 0.4, FRAMES)
    cameras.world_to_camera[0] = steps @ cameras.world_to_camera[0]
    frames = rng.uniform(-1, 1, (1, FRAMES, SIDE, SIDE, 3))
    shot = frames, rng.uniform(0.8, 1.2, frames.shape[:4]), cameras
    shot = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), shot)
    return Config(model=model, data=data), random_params(model, 0.2), shot


def grid(setting, sampler, views=None, frames=slice(None)):
    """The grid, or that of some of its views and frames, as if nothing else were there."""
    config, params, (video, depth, cameras) = setting
    shown = np.arange(VIEWS) if views is None else np.array(views)
    cameras = cameras.views(shown).frames(frames)
    poses = cameras.world_to_camera
    # The world is the source at the first frame.
    poses = poses @ jnp.linalg.inv(poses[:1, :1])
    cameras = dataclasses.replace(cameras, world_to_camera=poses)
    prior = Prior(config.model, sampler, params)
    return generate_grid(prior, video[:, frames], depth[:, frames], cameras, KEY)[0]


@pytest.mark.slow
def test_one_call_is_that_of_every_group_and_window_alone(setting):
    found = grid(setting, SamplerConfig(group_views=4, window_frames=3))
    np.testing.assert_array_equal(found[:1], setting[2][0])
    # The last window has two frames already.
    starts = {0: range(3), 3: range(3, 6), 4: range(6, 7)}
    groups = view_groups(VIEWS - 1, 3, 1)[0] + 1
    once = [view for view in range(1, VIEWS) if (groups == view).sum() == 1]
    # One view of 11 is in two groups of 3, and gets their mean.
    assert len(once) >= VIEWS - 2
    for start, kept in starts.items():
        for members in groups:
            part = grid(
                setting, SamplerConfig(), [0, *members], slice(start, start + 3)
            )
            for view in set(members) & set(once):
                alone = part[1 + list(members).index(view)]
                for t in kept:
                    np.testing.assert_allclose(
                        found[view, t], alone[t - start], atol=1e-5
                    )
    assert np.abs(found - grid(setting, SamplerConfig())).max() > 0.01
