"""Both places of the projection, from a training step to the velocity that distillation uses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from random_grids import arc
from random_weights import random_params

from full4d_jax.config import (
    ProjectionAsChannels,
    ProjectionAsFrames,
    SamplerConfig,
    load_config,
)
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.generate import make_conditions
from full4d_jax.models.dit.dit import velocity
from full4d_jax.training.loss import loss

DEBUG = load_config("configs/debug.py")


def config_with(guide):
    model = dataclasses.replace(DEBUG.model, guide=guide)
    sampler = SamplerConfig(steps=2, noise=1.0)
    return dataclasses.replace(DEBUG, model=model, sampler=sampler)


@pytest.fixture(
    scope="module",
    params=[ProjectionAsChannels(), ProjectionAsFrames()],
    ids=["channels", "frames"],
)
def trained(request):
    """A config, parameters none of which is zero, and a clip."""
    config = config_with(request.param)
    return config, random_params(config.model), random_clip(config.data)


def random_clip(data):
    """Coloured noise on a bumpy wall, seen from an arc."""
    rng = np.random.default_rng(0)
    size = data.views, data.frames, data.height, data.width
    frames = jnp.float32(rng.uniform(-1, 1, (*size, 3)))
    depth = jnp.float32(rng.uniform(0.9, 1.1, size[1:]))
    cameras = arc(*size)
    return Batch(frames, depth, cameras.intrinsics, cameras.world_to_camera)


def test_the_loss_has_a_gradient_in_every_parameter(trained):
    config, params, clip = trained
    batch = jax.tree.map(lambda x: jnp.stack([x, x]), clip)

    @jax.jit
    def gradient(params):
        key = jax.random.key(0)
        return jax.grad(loss, argnums=1, has_aux=True)(config, params, batch, key)[0]

    for path, x in jax.tree.leaves_with_path(gradient(params)):
        assert np.isfinite(x).all(), path
        assert np.abs(x).max() > 0, path


def test_accelerators_multiply_in_bfloat16(trained, monkeypatch):
    config, params, clip = trained
    given = clip.frames[:1], clip.depth[None], clip.cameras
    conditions, _ = jax.jit(make_conditions, static_argnums=0)(config.model, *given)
    conditions = jax.tree.map(lambda x: x[None], conditions)
    views = len(clip.frames) - config.model.guide.clean_views
    z, tau = clip.frames[None, -views:], jnp.array([0.5])
    exact = jax.jit(velocity(config.model, params))(z, tau, conditions)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    flow = velocity(config.model, params)
    monkeypatch.undo()
    rough = jax.jit(flow)(z, tau, conditions)
    assert rough.dtype == jnp.float32
    assert 0 < np.abs(rough - exact).max() < 0.05 * np.abs(exact).max()

    jaxpr = jax.make_jaxpr(flow)(z, tau, conditions).jaxpr
    blocks = [e for e in equations(jaxpr) if e[1] == "scan"]
    exact_blocks = [e for e in blocks if e[2] == (jax.lax.Precision.HIGHEST,) * 2]
    assert len(exact_blocks) == 1  # that of the cameras
    assert len(blocks) >= 7
    assert all(e[0] == {jnp.bfloat16.dtype} for e in blocks if e not in exact_blocks)


def equations(jaxpr, within=""):
    """Operand dtypes of every matrix product, the loop that it stands in, and its precision."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            dtypes = {x.aval.dtype for x in equation.invars}
            yield dtypes, within, equation.params["precision"]
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner, "scan" if name == "scan" else within)
