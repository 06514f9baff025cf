"""Loss, gradients and communication of one training step on meshes of simulated devices."""

import functools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.config import (
    Config,
    DataConfig,
    FlowConfig,
    Fused,
    MeshConfig,
    ModelConfig,
    ProjectionAsFrames,
    RealFrames,
    TwoStreams,
    Velocity,
)
from full4d_jax.generation.batch import EncodedBatch
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.sharding import (
    check_mesh,
    make_mesh,
    put_batch,
    swap_axes,
    tree_shardings,
)
from full4d_jax.training.inspection.hlo import collectives, read_program
from full4d_jax.training.loss import loss

CONFIG = Config(
    model=ModelConfig(
        width=64,
        heads=8,
        layers=8,  # enough for a loop, which is compiled once
        ffn=64,
        patch=4,
        text_width=8,
        guide=ProjectionAsFrames(),
        cameras=("linear",),
        camera_projector=True,
        rope_folds_views=True,
        parametrisation=Velocity(),
        refiner=0,
    ),
    data=DataConfig(views=3, frames=4, height=8, width=8),  # 24 frames of 4 tokens
    flow=FlowConfig(mean_share=0.0),
)
SPLIT = replace(
    CONFIG,
    model=replace(
        CONFIG.model,
        guide=RealFrames(),
        attention=TwoStreams(),
        cameras=(),
        camera_projector=False,
        text_width=0,
    ),
    data=replace(CONFIG.data, views=4, frames=4),
)
BATCH = 8


def encoded(config: Config) -> EncodedBatch:
    rng = np.random.default_rng(0)
    data = config.data
    shape = (BATCH, data.views, data.frames, data.height, data.width)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.normal(size=shape), jnp.float32)

    guided = config.model.guide.projected_half
    latents = normal(*shape, 3)
    real = jnp.broadcast_to(jnp.arange(data.frames) == 0, shape[:3])
    conditions = Conditions(
        projection=normal(*shape, 3) if guided else latents[:, :, :0],
        base=normal(*shape, 3)
        if guided
        else jnp.where(real[..., None, None, None], latents, 0),
        mask=jnp.asarray(rng.integers(0, 2, shape), jnp.float32),
        disparity=normal(*shape),
        world_to_camera=jnp.eye(4)[None, None, None] + 0.1 * normal(*shape[:3], 4, 4),
        intrinsics=normal(BATCH, data.views, 3, 3),
        text=normal(BATCH, 5, 8) if guided else None,
        real=None if guided else real,
    )
    return EncodedBatch(latents, conditions)


def gradient(config: Config):
    def objective(params, batch):
        return loss(config, params, batch, jax.random.key(1))[0]

    return jax.jit(jax.value_and_grad(objective))


@functools.cache
def on_one_device(config: Config):
    value, gradients = gradient(config)(random_params(config.model), encoded(config))
    return float(value), jax.tree.map(np.asarray, gradients)


@functools.cache
def on_mesh(config: Config, **sizes):
    """Loss, gradients and the compiled program of a layout."""
    count = int(np.prod(list(sizes.values())))
    mesh = make_mesh(MeshConfig(**{"data": 1, **sizes}), jax.devices()[:count])
    check_mesh(replace(config, training=replace(config.training, batch=BATCH)), mesh)
    params = random_params(config.model)
    params = jax.device_put(params, tree_shardings(mesh, params, config.model.width))
    batch = put_batch(mesh, encoded(config))
    with jax.set_mesh(mesh):
        compiled = gradient(config).lower(params, batch).compile()
        value, gradients = compiled(params, batch)
    hlo = compiled.as_text()
    assert hlo is not None
    return float(value), jax.tree.map(np.asarray, gradients), hlo


def slow(**sizes):
    return pytest.param(sizes, marks=pytest.mark.slow)


# The quick ones have every axis.
LAYOUTS = [
    slow(fsdp=8),
    {"view": 2, "time": 4},
    {"data": 2, "fsdp": 2, "tensor": 2},
    slow(view=2, time=2, tensor=2),
    slow(fsdp=2, view=2, time=2),
]


GATHERED = replace(CONFIG, model=replace(CONFIG.model, heads=2))
TO_ALL = replace(CONFIG, model=replace(CONFIG.model, heads=2, attention=Fused("full")))


def words(sizes):
    return "-".join(f"{name}{size}" for name, size in sizes.items())


@pytest.mark.parametrize("sizes", LAYOUTS, ids=words)
def test_loss_and_gradients_are_those_of_one_device(sizes):
    assert_same(CONFIG, sizes)


@pytest.mark.slow
@pytest.mark.parametrize("config", [GATHERED, TO_ALL], ids=["fused", "full"])
def test_keys_are_gathered_where_heads_run_out(config):
    assert swap_axes(2, view=4, time=2) == (("time",), ("view",))
    assert_same(config, {"view": 4, "time": 2})


@pytest.mark.slow
def test_rows_and_columns_are_whole_videos_on_their_devices():
    assert_same(SPLIT, {"data": 2, "view": 2, "time": 2})


def assert_same(config, sizes):
    value, gradients = on_one_device(config)
    found, on_devices, _ = on_mesh(config, **sizes)
    assert found == pytest.approx(value, rel=1e-5)
    names = [
        jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(gradients)
    ]
    pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(on_devices), strict=True)
    for name, (expected, found) in zip(names, pairs, strict=True):
        scale = max(1e-3, np.abs(expected).max())
        np.testing.assert_allclose(
            found / scale, expected / scale, atol=1e-5, err_msg=name
        )


def parameter_bytes(params) -> int:
    return sum(x.nbytes for x in jax.tree.leaves(params))


def test_tokens_are_traded_in_attention_alone():
    """Four all-to-alls a layer and pass: q, k, v there, the output back; nothing else of tokens."""
    _, gradients, hlo = on_mesh(CONFIG, view=2, time=4)
    found = collectives(read_program(hlo))
    model, data = CONFIG.model, CONFIG.data
    tokens = BATCH * data.views * 2 * data.frames * 4
    traded = 4 * tokens * model.width // 8  # bytes of one array on one device
    trades = 2 * 4 * model.layers
    sizes = {kind: traffic["bytes"] for kind, traffic in found.items()}
    assert 0 <= found["all-to-all"]["count"] - trades < 10  # parts of small matrices
    assert 0 <= sizes["all-to-all"] - trades * traded < 0.01 * trades * traded
    # Parameters are gathered for the pass and again for its gradient.
    assert sizes["all-gather"] < 2.5 * parameter_bytes(gradients)
    assert sizes["all-reduce"] < 1.1 * parameter_bytes(gradients)
