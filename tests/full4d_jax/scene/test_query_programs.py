"""`inspect --program` compiles the programs that `sample` and `lift` run."""

import dataclasses
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from moving_scene import twelve_gaussians
from random_grids import arc

from full4d_jax.config import (
    Config,
    DataConfig,
    LiftConfig,
    MeshConfig,
    ModelConfig,
    ProjectionAsFrames,
    SamplerConfig,
    Velocity,
)
from full4d_jax.generation import generate
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.dit.dit import init_params
from full4d_jax.models.grid_mesh import grid_mesh, parameter_shapes
from full4d_jax.scene import prior_teacher
from full4d_jax.scene.prior_teacher import halfway_teacher
from full4d_jax.scene.query_programs import lift_programs, sample_programs
from gaussians import FitConfig, distillation_targets
from gaussians.fitting import distillation
from gaussians.fitting.distillation import query_prior
from gaussians.motion import still

CONFIG = Config(
    model=ModelConfig(
        codec_stride=4,
        width=32,
        layers=2,
        heads=4,
        ffn=32,
        patch=2,
        guide=ProjectionAsFrames(),
        parametrisation=Velocity(),
        refiner=0,
    ),
    data=DataConfig(views=3, frames=2, height=16, width=16),
    sampler=SamplerConfig(steps=2, noise=1.0, guidance=1.5),
    mesh=MeshConfig(view=2, time=2, fsdp=2),
)


AT_LAST = "all steps", "decoding"


@pytest.fixture(scope="module")
def mesh():
    mesh = grid_mesh(CONFIG.mesh)
    assert mesh is not None
    return mesh


def opened(mesh, config=CONFIG):
    """A prior on the mesh, and a source video with depth and cameras."""
    like = parameter_shapes(config.model, mesh)
    made = init_params(config.model, jax.random.key(0))
    params = jax.tree.map(lambda x, y: jax.device_put(y, x.sharding), like, made)
    size = config.data.frames, 16, 16
    source = np.random.default_rng(0).uniform(0, 1, (*size, 3)).astype(np.float32)
    given = jnp.asarray(source), jnp.ones(size), arc(config.data.views, *size)
    return prior_with(config, params, mesh), given


@contextmanager
def tracing(monkeypatch, module, *names):
    """Traces the programs of a module with the arguments that they get when they run."""
    traced = []

    def watch(program):
        def run(*args):
            traced.append(program.trace(*args))
            return program(*args)

        return run

    with monkeypatch.context() as patch:
        for name in names:
            patch.setattr(module, name, watch(getattr(module, name)))
        yield traced


def assert_same(inspected, run):
    assert inspected.in_avals == run.in_avals
    assert inspected.lower().as_text() == run.lower().as_text()  # shardings too


def test_sample_runs_what_is_inspected(mesh, monkeypatch):
    prior, given = opened(mesh)
    names = "guides_program", "flow_program", "views_program"
    with tracing(monkeypatch, generate, *names) as ran:
        frames, depth, cameras = given
        generate_grid(prior, frames[None], depth[None], cameras, jax.random.key(0))
    inspected, order = sample_programs(CONFIG, mesh), ("projection and codec", *AT_LAST)
    assert set(inspected) == set(order)
    for name, run in zip(order, ran, strict=True):
        assert_same(inspected[name](), run)
        assert "copies" in run.lower().as_text()  # the mesh of one grid


def test_lift_queries_what_is_inspected(
    mesh, monkeypatch, unchecked
):  # cameras are shapes
    prior, given = opened(mesh)
    with tracing(monkeypatch, prior_teacher, "guides_program") as before:
        teacher = halfway_teacher("cached", prior, *given)
    names = "encode_video", "flow_to_data", "decode_video"
    with tracing(monkeypatch, distillation, *names) as ran:
        video = jnp.zeros((2, 2, 16, 16, 3))
        distillation_targets(video, teacher, jnp.float32(0.5), jax.random.key(0))
    programs = lift_programs(CONFIG, mesh)
    order = "projection and codec", "encoding", *AT_LAST
    assert set(programs) == set(order)
    for name, run in zip(order, before + ran, strict=True):
        inspected = programs[name]()
        # Shapes and types of its arguments too.
        assert str(inspected.jaxpr) == str(run.jaxpr)
    assert teacher.params.guides[1].projection.sharding.is_fully_replicated


PART = dataclasses.replace(
    CONFIG,
    data=dataclasses.replace(CONFIG.data, views=4, frames=3),
    lift=LiftConfig(distillation="gradient", distilled_views=1, distilled_frames=2),
)


@pytest.mark.slow
def test_the_gradient_form_queries_what_is_inspected(mesh, monkeypatch, unchecked):
    """The pull is that of one device."""
    settings, scene = {"views": 1, "frames": 2}, still(twelve_gaussians())

    def pulled(mesh):
        prior, given = opened(mesh, PART)
        teacher = halfway_teacher("gradient", prior, *given, **settings)
        progress, key = jnp.float32(0.5), jax.random.key(1)
        pull, _ = query_prior(scene, teacher, progress, key, FitConfig(), 1024)
        assert pull is not None
        return teacher, pull

    names = "encode_video", "latent_gradient", "video_gradient"
    guides = tracing(monkeypatch, prior_teacher, "guides_program")
    with tracing(monkeypatch, distillation, *names) as ran, guides as before:
        teacher, pull = pulled(mesh)
    programs = lift_programs(PART, mesh)
    order = "projection and codec", "encoding", "judging", "the encoder's gradient"
    assert set(programs) == set(order)
    for name, run in zip(order, before[:1] + ran, strict=True):
        assert str(programs[name]().jaxpr) == str(run.jaxpr)
        assert "copies" in run.lower().as_text()  # the mesh of one grid
    assert len(before) == 2  # windows
    assert teacher.params.guides[1].projection.shape[:3] == (2, 4, 2)
    assert teacher.params.guides[1].projection.sharding.is_fully_replicated
    _, expected = pulled(None)
    assert float(pull.loss) == pytest.approx(float(expected.loss), rel=1e-5)
    for found, alone in zip(*map(jax.tree.leaves, (pull, expected)), strict=True):
        np.testing.assert_allclose(found, alone, atol=1e-5 * float(np.abs(alone).max()))
    assert np.abs(pull.gradient.gaussians.means).max() > 1e-5
