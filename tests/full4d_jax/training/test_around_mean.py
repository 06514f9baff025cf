"""A flow around the mean that a second network gives."""

import dataclasses
from functools import partial
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
from full4d_jax.generation.sampling import sample, schedule
from full4d_jax.models.dit import mean_around, velocity
from full4d_jax.models.sharding import make_mesh, put_batch, tree_shardings
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import save_params
from full4d_jax.scene.dry_run import query_flops
from full4d_jax.session.errors import InputError
from full4d_jax.training import step
from full4d_jax.training.accumulation import BatchPart, places_of_parts, whole_batch
from full4d_jax.training.loss import (
    NOTHING_FROZEN,
    Frozen,
    draw_flow,
    encode_clips,
    follow_path,
    loss,
    split_keys,
)
from full4d_jax.training.placement import in_mesh
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
    one_step = jax.jit(train_step(CONFIG))
    for _ in range(4):  # the first has no rate, the next two open the way through what is 0
        state, _ = one_step(state, random_batch(2))
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
        (
            "flow.path_share",
            {
                "flow": {"path_share": 0.5},
                "model": {"around_mean": 0},
                "optimizer": {"trainable": "all"},
            },
        ),
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
    mean = mean_around(MODEL, params, clips.conditions)
    np.testing.assert_allclose(ask(clips.conditions._replace(mean=mean)), anew, atol=1e-4)
    other = ask(clips.conditions._replace(mean=mean + 0.1))
    assert np.abs(other - anew).max() > 0.05


def test_training_flows_from_smooth_noise_and_compares_an_instant_of_all_clips():
    pictures = []

    def distance(a, b):
        pictures.append(len(a))
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
    assert pictures == [2 * (CONFIG.data.views - 1)]

    part = whole_batch(2)
    keys = split_keys(key)
    encoded = encode_clips(config, batch, keys, NOTHING_FROZEN, part)
    noise = np.asarray(draw_flow(config, encoded, keys, part).noise)
    instants = np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())
    assert instants[0, 1] > 0.4


def test_a_share_of_the_clips_is_trained_on_the_path_of_the_sampler():
    """Moved clips lie where the sampler comes by after some of its steps; the others stay."""
    sampler = SamplerConfig(steps=3, shift=2.0, noise=1.0)
    flow = dataclasses.replace(CONFIG.flow, path_share=0.75)
    config = dataclasses.replace(CONFIG, sampler=sampler, flow=flow)
    params = random_params(MODEL)
    part = whole_batch(8)
    keys = split_keys(jax.random.key(4))
    times = schedule(sampler.steps, sampler.shift)

    @jax.jit
    def moved_and_path(params):
        clips = encode_clips(config, random_batch(8), keys, NOTHING_FROZEN, part)
        before = draw_flow(config, clips, keys, part)
        after = follow_path(config, params, clips, before, keys, part)
        ask = partial(velocity(MODEL, params), conditions=clips.conditions)
        path = [sample(ask, before.noise, times[: n + 1]) for n in range(sampler.steps)]
        return before, after, path

    before, after, path = moved_and_path(params)
    stops = [int(np.flatnonzero(np.isclose(times, tau))[0]) for tau in after.tau[:6]]
    assert set(stops) == {0, 1, 2}
    for clip, stop in enumerate(stops):
        np.testing.assert_allclose(after.z[clip], path[stop][clip], atol=1e-4)
    np.testing.assert_array_equal(after.z[6:], before.z[6:])
    np.testing.assert_array_equal(after.tau[6:], before.tau[6:])
    np.testing.assert_array_equal(after.noise, before.noise)


def test_a_mesh_that_divides_no_share_of_the_clips_trains_them_all_the_same():
    flow = dataclasses.replace(CONFIG.flow, path_share=0.5)
    sampler = SamplerConfig(steps=3, shift=2.0, noise=1.0)
    config = dataclasses.replace(CONFIG, sampler=sampler, flow=flow)
    key = jax.random.key(3)
    params = random_params(MODEL)
    batch = random_batch(4)
    alone, _ = jax.jit(partial(loss, config))(params, batch, key)
    mesh = make_mesh(MeshConfig(data=4, fsdp=1, tensor=2))
    sharded = jax.device_put(params, tree_shardings(mesh, params, MODEL.width))
    on_mesh = jax.jit(in_mesh(mesh, partial(loss, config)))
    spread, _ = on_mesh(sharded, put_batch(mesh, batch), key)
    np.testing.assert_allclose(spread, alone, rtol=1e-4)


def test_no_gradient_passes_the_path():
    """Behind the sampler's steps the loss is one of their end, however that was reached."""
    flow = dataclasses.replace(CONFIG.flow, path_share=1.0)
    sampler = SamplerConfig(steps=3, shift=2.0, noise=1.0)
    config = dataclasses.replace(CONFIG, sampler=sampler, flow=flow)
    part = whole_batch(2)
    keys = split_keys(jax.random.key(4))

    @jax.jit
    def slope(params):
        clips = encode_clips(config, random_batch(2), keys, NOTHING_FROZEN, part)
        point = draw_flow(config, clips, keys, part)
        return jax.grad(lambda x: follow_path(config, x, clips, point, keys, part).z.sum())(params)

    assert all(np.abs(x).max() == 0 for x in jax.tree.leaves(slope(random_params(MODEL))))


def test_a_flow_is_compared_by_vgg_and_a_mean_by_alexnet(monkeypatch):
    nets = []
    monkeypatch.setattr(step, "require_lpips", lambda purpose, net: nets.append(net))
    for model, optimizer in (
        (MODEL, OptimizerConfig(trainable="flow")),
        (MEAN, OptimizerConfig()),
    ):
        flow = dataclasses.replace(CONFIG.flow, perceptual=0.5)
        train_step(dataclasses.replace(CONFIG, model=model, optimizer=optimizer, flow=flow))
    assert nets == ["vgg16", "alexnet"]


def test_parts_of_a_flow_on_its_path_add_up():
    """Three of four clips follow the path, two in the first part and one in the second."""
    flow = dataclasses.replace(CONFIG.flow, path_share=0.75, perceptual=0.5)
    sampler = SamplerConfig(steps=3, shift=2.0, noise=1.0)
    config = dataclasses.replace(CONFIG, sampler=sampler, flow=flow)
    params = random_params(MODEL)
    batch = random_batch(4)
    frozen = Frozen(distance=lambda a, b: jnp.abs(a - b).mean((1, 2, 3)))

    @partial(jax.jit, static_argnums=1)
    def shares(clips, index):
        part = None if index is None else BatchPart(places_of_parts(4, 2), index)
        return loss(config, params, clips, jax.random.key(3), frozen, part)[1]

    whole = shares(batch, None)
    assert sum(whole["flow_times"][:-1]) > 0  # not all of the path is noise
    parts = [shares(jax.tree.map(lambda x, j=j: x[j::2], batch), j) for j in range(2)]
    for name, value in whole.items():
        np.testing.assert_allclose(sum(x[name] for x in parts), value, rtol=1e-4, err_msg=name)


def test_the_network_that_a_sampler_asks_is_counted():
    mean = dataclasses.replace(CONFIG, model=MEAN)
    for program in ("sample", "lift"):
        once, several = (
            dataclasses.replace(config, sampler=SamplerConfig(noise=0.0))
            for config in (mean, CONFIG)
        )
        assert query_flops(several, program) == query_flops(once, program)
    steps = [
        query_flops(
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
