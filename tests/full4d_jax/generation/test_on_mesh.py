"""Grids made on meshes of simulated devices are those of one device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_grids import arc
from random_weights import random_params

from full4d_jax.config import (
    Config,
    DataConfig,
    MeshConfig,
    ModelConfig,
    ProjectionAsFrames,
    RealFrames,
    SamplerConfig,
    TwoStreams,
    Velocity,
)
from full4d_jax.generation.generate import (
    fill_grid,
    generate_grid,
)
from full4d_jax.generation.prior import open_prior, prior_settings
from full4d_jax.generation.real_frames import row_and_column
from full4d_jax.models.weights import save_params
from full4d_jax.scene.prior_teacher import (
    bind_prior,
    halfway_teacher,
    query_velocity,
)
from full4d_jax.session.errors import InputError

VIEWS, FRAMES, SIDE = 3, 2, 16  # 12 frames of 4 tokens, with the projected half
SHARDED = MeshConfig(data=1, fsdp=2, view=2, time=2)
MODEL = ModelConfig(
    codec_stride=4,
    width=32,
    layers=2,
    heads=4,
    ffn=32,
    patch=2,
    guide=ProjectionAsFrames(first_frame=True),
    parametrisation=Velocity(),
    refiner=0,
)
WAN = dataclasses.replace(MODEL, codec="wan22", codec_stride=16, patch=1)
UNPOSED = dataclasses.replace(
    MODEL, guide=RealFrames(), attention=TwoStreams(), cameras=()
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, random_codec):
    """A function of a model: a config on one device, and the file of its weights."""

    def made(model, frames=FRAMES, side=SIDE, guidance=1.0):
        path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
        save_params(path, random_params(model, 0.2), {})
        config = Config(
            model=model,
            codec_weights=random_codec("wan22") if model.codec == "wan22" else "",
            data=DataConfig(views=VIEWS, frames=frames, height=side, width=side),
            sampler=SamplerConfig(steps=2, noise=1.0, guidance=guidance),
        )
        return config, path

    return made


def on(sizes: MeshConfig, config: Config) -> Config:
    return dataclasses.replace(config, mesh=sizes)


def shot(data: DataConfig):
    """One real view, its depth, and cameras on an arc."""
    rng, size = np.random.default_rng(0), (data.frames, data.height, data.width)
    given = (
        rng.uniform(-1, 1, (1, *size, 3)),
        np.ones((1, *size)),
        arc(data.views, *size),
    )
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), given)


def assert_same(found, expected):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)
    assert np.std(expected) > 1e-2 * scale


@pytest.mark.parametrize(
    ("model", "frames", "side"),
    [(MODEL, FRAMES, SIDE), pytest.param(WAN, 5, 32, marks=pytest.mark.slow)],
    ids=["pixels", "wan22"],
)
def test_a_sampled_grid_is_that_of_one_device(experiment, model, frames, side):
    config, path = experiment(model, frames, side, guidance=1.5)
    one, several = open_prior(config, path), open_prior(on(SHARDED, config), path)
    assert one.mesh is None
    assert several.mesh is not None
    query = several.params["blocks"]["attention"]["query"]["kernel"]
    assert query.addressable_shards[0].data.size * 8 == query.size
    source, depth, cameras = shot(config.data)
    expected, projection = generate_grid(one, source, depth, cameras, jax.random.key(2))
    found, projected = generate_grid(several, source, depth, cameras, jax.random.key(2))
    assert len(found.sharding.device_set) == 8
    assert_same(found[1:], expected[1:])
    assert_same(projected.frames, projection.frames)
    np.testing.assert_array_equal(projected.mask, projection.mask)


def test_the_velocity_for_a_scene_is_that_of_one_device(experiment):
    config, path = experiment(MODEL, guidance=1.5)
    z = jax.random.normal(jax.random.key(3), (VIEWS - 1, FRAMES, 4, 4, 48))
    query = jax.jit(query_velocity)
    priors = (open_prior(on(mesh, config), path) for mesh in (MeshConfig(), SHARDED))
    expected, found = (
        query(bind_prior(prior, *shot(config.data)), z, jnp.float32(0.6))
        for prior in priors
    )
    assert_same(found, expected)


def test_a_filled_grid_is_that_of_one_device(experiment):
    config, path = experiment(UNPOSED)
    data = dataclasses.replace(config.data, views=4, frames=4)
    config = dataclasses.replace(config, data=data)
    drawn = np.random.default_rng(0).uniform(-1, 1, (4, 4, SIDE, SIDE, 3))
    frames, real = drawn.astype(np.float32), row_and_column(4, 4)
    expected, found = (
        fill_grid(open_prior(on(mesh, config), path), frames, real, jax.random.key(2))
        for mesh in (MeshConfig(), SHARDED)
    )
    assert_same(found, expected)


@pytest.mark.slow
def test_offloaded_weights_make_the_same_grid_on_one_device(experiment):
    config, path = experiment(MODEL, guidance=1.5)
    sampler = dataclasses.replace(config.sampler, offload=True)
    offloaded = dataclasses.replace(config, sampler=sampler)
    one, kept = open_prior(config, path), open_prior(offloaded, path)
    assert {type(x) for x in jax.tree.leaves(one.params)} != {np.ndarray}
    assert {type(x) for x in jax.tree.leaves(kept.params)} == {np.ndarray}
    assert not kept.for_codec.params
    # Grids stay valid.
    assert prior_settings(offloaded, path) == prior_settings(config, path)
    source, depth, cameras = shot(config.data)
    found, expected = (
        generate_grid(prior, source, depth, cameras, jax.random.key(2))[0]
        for prior in (kept, one)
    )
    np.testing.assert_array_equal(found, expected)
    z, tau = jnp.ones((VIEWS - 1, FRAMES, 4, 4, 48)), jnp.float32(0.6)
    found, expected = (
        query_velocity(bind_prior(prior, source, depth, cameras), z, tau)
        for prior in (kept, one)
    )
    np.testing.assert_array_equal(found, expected)
    teacher = halfway_teacher("cached", kept, (source[0] + 1) / 2, depth[0], cameras)
    # A fit queries often.
    assert np.ndarray not in {type(x) for x in jax.tree.leaves(teacher.params)}
    told = r"sampler\.offload: found on 8 devices, expected on one"
    with pytest.raises(InputError, match=told):
        open_prior(on(SHARDED, offloaded), path)
