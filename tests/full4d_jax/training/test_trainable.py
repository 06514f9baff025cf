"""Subsets of trainable parameters, and adapters that merge away."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from changed import changed
from random_weights import random_params
from some_batches import random_batch

from full4d_jax.config import (
    MeshConfig,
    ProjectionAsFrames,
    RealFrames,
    Residual,
    TwoStreams,
    Velocity,
    load_config,
    to_dict,
)
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.dit import init_params, velocity
from full4d_jax.models.dit.sharding import make_mesh, tree_shardings
from full4d_jax.models.initial_params import complete_params, start_from
from full4d_jax.models.trainable import merge_adapters, without_adapters
from full4d_jax.models.weights import load_params, save_params
from full4d_jax.session.errors import InputError
from full4d_jax.training.optimizer import is_matrix
from full4d_jax.training.prior_training import first_prior_state
from full4d_jax.training.state import state_from_params
from full4d_jax.training.step import train_step

DEBUG = load_config("configs/debug.py")
MODEL = dataclasses.replace(
    DEBUG.model,
    layers=2,
    refiner=0,
    guide=ProjectionAsFrames(),
    parametrisation=Velocity(),
    cameras=("linear",),
    camera_projector=True,
    text_width=8,
)
OURS = {"mask_embedding", "camera", "projector"}


def named(tree) -> dict[str, np.ndarray]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(x)
        for path, x in jax.tree.leaves_with_path(tree)
    }


@pytest.mark.parametrize(
    "trainable", ["attention", pytest.param("lora", marks=pytest.mark.slow)]
)
def test_only_the_subset_changes_and_has_optimizer_state(trainable):
    model = dataclasses.replace(MODEL, lora_rank=3 if trainable == "lora" else 0)
    config = changed(
        DEBUG, model=model, optimizer={"trainable": trainable, "warmup": 1}
    )
    before = state_from_params(config, random_params(config.model))
    step = jax.jit(train_step(config))
    after, batch = before, random_batch(2)
    for _ in range(2):  # the learning rate is zero in the first
        after, metrics = step(after, batch)
    assert float(metrics["gradient_norm"]) > 0

    def expected(name: str) -> bool:
        parts = set(name.split("."))
        if trainable == "lora":
            return bool((OURS | {"lora_in", "lora_out"}) & parts)
        return bool((OURS | {"attention"}) & parts)

    for found, old in ((after.params, before.params), (after.ema, before.ema)):
        old = named(old)
        for name, x in named(found).items():
            same = np.array_equal(x.view(np.uint32), old[name].view(np.uint32))
            assert same is not expected(name), name

    muon = {name for name, x in named(before.params).items() if is_matrix(x)}
    stored = sum(x.size for x in jax.tree.leaves(after.optimizer) if x.ndim)
    trained = {
        name: x.size for name, x in named(before.params).items() if expected(name)
    }
    # Muon keeps one number for each parameter and five times three coefficients, AdamW two numbers.
    counts = [size * (1 if name in muon else 2) for name, size in trained.items()]
    assert stored == 15 + sum(counts)


def test_adapters_change_nothing_at_first_and_merge():
    model = dataclasses.replace(MODEL, lora_rank=4)
    plain = without_adapters(model)
    params = random_params(plain)
    z = jax.random.normal(jax.random.key(1), (1, 2, 1, 16, 16, 3))
    conditions = Conditions(
        projection=z + 1,
        base=z,
        mask=jnp.ones(z.shape[:-1]),
        disparity=jnp.ones(z.shape[:-1]),
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (1, 2, 1, 4, 4)),
        intrinsics=jnp.broadcast_to(jnp.eye(3), (1, 2, 3, 3)),
        text=jnp.ones((1, 3, 8)),
    )
    tau = jnp.full(1, 0.5)
    flow = jax.jit(lambda p: velocity(model, p)(z, tau, conditions))
    single = jax.jit(lambda p: velocity(plain, p)(z, tau, conditions))
    fresh = complete_params(model, params, jax.random.key(2))
    assert sum(".lora_" in name for name in named(fresh)) == 2 * (4 + 4 + 2)
    np.testing.assert_array_equal(flow(fresh), single(params))
    for name, x in named(merge_adapters(fresh)).items():
        np.testing.assert_array_equal(x, named(params)[name])

    trained = random_params(model)
    merged = merge_adapters(trained)
    assert jax.tree.structure(merged) == jax.tree.structure(params)
    found, expected = single(merged), flow(trained)
    assert float(jnp.abs(expected - single(without(trained))).max()) > 0.1
    limit = 1e-5 * float(jnp.abs(expected).max())
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def without(params):
    """Parameters whose adapters were never trained."""
    zero = jax.tree.map_with_path(
        lambda path, x: 0 * x if "lora_out" in jax.tree_util.keystr(path) else x, params
    )
    return merge_adapters(zero)


# Of one stream, without projection.
BASE = dataclasses.replace(
    DEBUG.model,
    guide=RealFrames(),
    cameras=(),
    rope_folds_views=True,
    refiner=0,
    patch=4,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A checkpoint whose metadata tells of `BASE`."""
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    save_params(path, random_params(BASE), {"model": to_dict(BASE)})
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": TwoStreams()},
        {"lora_rank": 2},
        {"parametrisation": Residual()},  # what the checkpoint was trained with
    ],
    ids=str,
)
def test_fine_tuning_may_change_who_sees_whom(base, changes):
    model = dataclasses.replace(BASE, **changes)
    params, before = start_from(model, base, jax.random.key(1)), load_params(base)
    assert set(named(init_params(model, jax.random.key(1)))) == set(named(params))
    for name, x in named(before).items():
        np.testing.assert_array_equal(named(params)[name], x)


def test_weights_of_another_function_are_refused_by_name(base):
    with pytest.raises(InputError) as error:
        start_from(dataclasses.replace(BASE, codec="wan21"), base, jax.random.key(1))
    assert str(error.value).startswith(f"checkpoint: {base}, model.codec: found ")


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2}], ids=str)
def test_on_a_mesh_every_device_reads_and_draws_its_own_shards(base, changes):
    model, key = dataclasses.replace(BASE, **changes), jax.random.key(DEBUG.seed)
    trainable = "lora" if changes else "all"
    optimizer = {"kind": "adamw", "trainable": trainable}
    config = changed(DEBUG, model=model, optimizer=optimizer)
    mesh = make_mesh(MeshConfig(data=1, fsdp=4, tensor=2))
    expected, found = start_from(model, base, key), start_from(model, base, key, mesh)
    cut = tree_shardings(mesh, expected, model.width)
    assert jax.tree.map(lambda x: x.sharding, found) == cut
    assert {x.dtype for x in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    if changes:
        fresh = [
            np.asarray(x) for name, x in named(found).items() if ".lora_in" in name
        ]
        assert fresh
        assert all(np.abs(x).max() > 0 for x in fresh)

    state = first_prior_state(config, base, mesh)
    for tree in (state.params, state.ema):
        assert jax.tree.map(lambda x: x.sharding, tree) == cut
        jax.tree.map(np.testing.assert_array_equal, tree, expected)
    matrix = state.ema["blocks"]["ffn_in"]["kernel"]
    assert matrix.addressable_shards[7].data.size * 8 == matrix.size
