"""A flow around the mean that a second network gives."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from random_batches import random_batch
from random_weights import random_params

from full4d_jax.config import (
    MeshConfig,
    OptimizerConfig,
    SamplerConfig,
    check_config,
    load_config,
    to_dict,
)
from full4d_jax.flow import data_from_velocity
from full4d_jax.generation.batch import prepare
from full4d_jax.generation.generate import bind_guided
from full4d_jax.generation.prior import prior_path, prior_with
from full4d_jax.models.dit import mean_around, velocity
from full4d_jax.models.sharding import make_mesh, tree_shardings
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.scene.dry_run import asking_flops
from full4d_jax.session.errors import InputError
from full4d_jax.training.accumulation import whole_batch
from full4d_jax.training.loss import (
    NOTHING_FROZEN,
    Frozen,
    Keys,
    draw_flow,
    encode_clips,
    loss,
)
from full4d_jax.training.prior_training import train_prior
from full4d_jax.training.state import state_from_params
from full4d_jax.training.step import train_step

DEBUG = load_config("configs/debug.py")
MEAN = DEBUG.model
MODEL = dataclasses.replace(MEAN, around_mean=MEAN.refiner, refiner=5)
CONFIG = dataclasses.replace(
    DEBUG,
    model=MODEL,
    flow=dataclasses.replace(DEBUG.flow, mean_share=0.0),
    optimizer=OptimizerConfig(trainable="flow", warmup=1),
)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A prior that gives the mean."""
    path = tmp_path_factory.mktemp("mean") / "prior.safetensors"
    save_params(path, random_params(MEAN), {"model": to_dict(MEAN)})
    return path


@pytest.fixture(scope="module")
def clips():
    return prepare(random_batch(2), jax.random.key(0), MEAN, DEBUG.data)


def test_a_new_flow_begins_at_the_mean(checkpoint, clips):
    """Its head gives zero, so that from pure noise it leads to the base, which is the mean."""
    params = start_from(MODEL, checkpoint, jax.random.key(1))
    nothing = jnp.zeros_like(clips.latents)
    noise = jax.random.normal(jax.random.key(2), nothing.shape)
    end = jnp.ones(2)

    @jax.jit
    def both(params):
        of_mean = velocity(MEAN, params["mean"])(nothing, end, clips.conditions)
        of_flow = velocity(MODEL, params)(noise, end, clips.conditions)
        return data_from_velocity(of_mean, nothing, end), data_from_velocity(of_flow, noise, end)

    mean, flow = both(params)
    np.testing.assert_allclose(flow, mean, atol=1e-5)
    base = clips.conditions.base[:, 1:]
    assert np.abs(mean - base).max() > 0.1  # the mean is no first guess


def test_the_mean_is_kept_and_the_flow_starts_as_its_copy(checkpoint):
    params = start_from(MODEL, checkpoint, jax.random.key(1))
    before = flatten_dict(start_from(MEAN, checkpoint, jax.random.key(1)), sep=".")
    flat = flatten_dict(params, sep=".")
    for name, x in before.items():
        np.testing.assert_array_equal(flat[f"mean.{name}"], x)
        if not name.startswith(("head.", "refiner.")):
            np.testing.assert_array_equal(flat[name], x)

    state = state_from_params(CONFIG, jax.tree.map(jnp.copy, params))
    step = jax.jit(train_step(CONFIG))
    for _ in range(4):  # the first has no rate, the next two open the way through what is 0
        state, _ = step(state, random_batch(2))
    for tree in (state.params, state.ema):
        after = flatten_dict(tree, sep=".")
        for name, x in flat.items():
            changed = np.any(np.asarray(after[name]) != np.asarray(x))
            assert changed != name.startswith("mean."), name


def test_on_a_mesh_every_device_reads_and_copies_its_own_shards(checkpoint):
    mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
    whole = start_from(MODEL, checkpoint, jax.random.key(1))
    sharded = start_from(MODEL, checkpoint, jax.random.key(1), mesh)
    jax.tree.map(np.testing.assert_array_equal, sharded, whole)
    cut = tree_shardings(mesh, whole, MODEL.width)
    assert jax.tree.map(lambda x: x.sharding, sharded) == cut


def test_without_noise_the_sampler_asks_the_mean(clips):
    params = random_params(MODEL)
    z = jnp.zeros_like(clips.latents)
    tau = jnp.ones(2)
    flows, mean = (
        prior_with(dataclasses.replace(config, sampler=SamplerConfig(noise=noise)), weights)
        for config, weights, noise in (
            (CONFIG, params, 0.0),
            (dataclasses.replace(CONFIG, model=MEAN), params["mean"], 1.0),
        )
    )
    guides = (clips.conditions,)
    of_flow, of_mean = (bind_guided(prior, guides)(z, tau) for prior in (flows, mean))
    np.testing.assert_array_equal(of_flow, of_mean)


def test_weights_of_another_mean_are_refused(checkpoint):
    model = dataclasses.replace(MODEL, around_mean=MEAN.refiner + 1)
    with pytest.raises(InputError, match=r"model\.refiner: found"):
        start_from(model, checkpoint, jax.random.key(1))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("model.around_mean", {"model": {"refiner": 0}}),
        ("model.around_mean", {"model": {"projection": "frames"}}),
        ("model.around_mean", {"model": {"prediction": "velocity"}}),
        ("optimizer.trainable", {"optimizer": {"trainable": "all"}}),
        ("optimizer.trainable", {"model": {"around_mean": 0}}),
        ("flow.mean_share", {"flow": {"mean_share": 0.5}}),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(field, changes):
    parts = {
        part: dataclasses.replace(getattr(CONFIG, part), **values)
        for part, values in changes.items()
    }
    check_config(CONFIG)
    with pytest.raises(InputError, match=field):
        check_config(dataclasses.replace(CONFIG, **parts))


def test_a_mean_that_is_known_is_not_asked_again(clips):
    params = random_params(MODEL)
    noise = jax.random.normal(jax.random.key(2), clips.latents.shape)
    ask = jax.jit(lambda conditions: velocity(MODEL, params)(noise, jnp.full(2, 0.4), conditions))
    anew = ask(clips.conditions)
    mean = mean_around(MODEL, params)(clips.conditions)
    np.testing.assert_allclose(ask(clips.conditions._replace(mean=mean)), anew, atol=1e-4)
    other = ask(clips.conditions._replace(mean=mean + 0.1))
    assert np.abs(other - anew).max() > 0.05


def test_training_flows_from_smooth_noise_and_compares_all_clips():
    def distance(a, b):
        return jnp.abs(a - b).mean((1, 2, 3))

    config = dataclasses.replace(CONFIG, flow=dataclasses.replace(CONFIG.flow, perceptual=0.5))
    params = random_params(MODEL)
    batch = random_batch(2)
    key = jax.random.key(3)

    @jax.jit
    def both(params):
        without, _ = loss(config, params, batch, key)
        with_term, metrics = loss(config, params, batch, key, Frozen(distance=distance))
        return without, with_term, metrics["perceptual"]

    without, with_term, perceptual = both(params)
    assert perceptual > 0.01
    np.testing.assert_allclose(with_term - without, 0.5 * perceptual, rtol=1e-3)

    part = whole_batch(2)
    keys = Keys(*jax.random.split(key, 4))
    encoded = encode_clips(config, batch, keys, NOTHING_FROZEN, part)
    noise = np.asarray(draw_flow(config, encoded, keys, part).noise)
    instants = np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())
    assert instants[0, 1] > 0.4


def test_the_network_that_a_sampler_asks_is_counted():
    mean = dataclasses.replace(CONFIG, model=MEAN)
    for program in ("sample", "lift"):
        once, several = (
            dataclasses.replace(config, sampler=SamplerConfig(noise=0.0))
            for config in (mean, CONFIG)
        )
        assert asking_flops(several, program) == asking_flops(once, program)
    steps = [
        asking_flops(
            dataclasses.replace(CONFIG, sampler=SamplerConfig(steps=n, noise=1.0)), "sample"
        )
        for n in (1, 2, 3)
    ]
    assert steps[2] - steps[1] == steps[1] - steps[0] < steps[0]  # the mean is asked once


def test_a_flow_needs_the_weights_of_its_mean(tmp_path):
    with pytest.raises(InputError, match="--init"):
        train_prior(CONFIG, tmp_path, None)


def test_every_kind_of_model_has_weights_in_the_package():
    kinds = {"demo": "prior", "flow": "flow", "four_real": "four_real"}
    for preset, name in kinds.items():
        assert prior_path(load_config(preset).model).stem == name
