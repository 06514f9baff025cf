"""Encoded projections, with Wan's VAE at toy width: the losses of clips that the step projects."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from changed import changed
from toy_encoded import encoded_as, on, wan_config

from full4d_jax.config import Residual
from full4d_jax.generation.batch import Batch, prepare
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.dit.sharding import put_batch
from full4d_jax.session.errors import InputError
from full4d_jax.training import held_out, training_loop
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.encoding import Frozen
from full4d_jax.training.inspection.step_report import trace_step
from full4d_jax.training.loss import loss
from full4d_jax.training.prior_training import train_prior
from full4d_jax.training.state import init_state, training_mesh
from input_pipeline.datasets.dataset import open_dataset
from input_pipeline.transforms import decode, to_source


@pytest.fixture(scope="module")
def config(raw):
    return wan_config(raw.parent, 0, projections=2, corrupt_depth=1.0)


@pytest.fixture(scope="module")
def encoded(raw, config):
    return encoded_as("encoded", config, raw)


@pytest.fixture(scope="module")
def exact(raw, config):
    """One draw of each clip, with its own depth."""
    plain = changed(config, data={"projections": 1, "corrupt_depth": 0.0})
    return encoded_as("exact", plain, raw)


def test_losses_are_those_of_clips_that_the_step_projects(config, exact):
    config = on(config, exact, projections=1, corrupt_depth=0.0, drop_projection=0.5)
    batch = next(training_batches(config, 0))
    clips = list(open_dataset(exact))
    pictures = [picture_of(clips, latents) for latents in np.asarray(batch.latents)]
    whole = jax.tree.map(lambda *x: jnp.stack(x), *pictures)
    params, key = init_state(config, jax.random.key(0)).params, jax.random.key(5)
    frozen = Frozen(codec_weights(config))

    @jax.jit
    def losses(params):
        return [loss(config, params, x, key, frozen)[0] for x in (batch, whole)]

    found, expected = losses(params)
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    assert expected > 0.1


def picture_of(clips, latents) -> Batch:
    """The pictures of the clip that has these latents, its views in their order."""
    first = latents[0]
    clip = next(x for x in clips if any(np.array_equal(y, first) for y in x.latents))
    own = list(clip.latents)
    views = [
        next(i for i, x in enumerate(own) if np.array_equal(x, y)) for y in latents
    ]
    shown = decode(clip, height=16, width=16)
    depth, poses = to_source(shown.depth[0], shown.world_to_camera[views])
    frames = shown.frames[views].astype(np.float32) / 127.5 - 1
    return Batch(*map(jnp.asarray, (frames, depth, shown.intrinsics[views], poses)))


@pytest.mark.slow
@pytest.mark.parametrize("projections", [2, 0], ids=["encoded", "pictures"])
def test_inspect_compiles_the_program_that_train_runs(
    config, encoded, raw, projections, tmp_path, monkeypatch
):
    """The two programs are one: their jaxprs, and the shardings of what they take and give."""
    folder = encoded if projections else raw
    config = on(config, folder, projections=projections)
    config = changed(config, mesh={"data": 1, "fsdp": 2, "view": 2, "time": 1})
    runs, jit_step = [], training_loop.jit_step

    def spy(*given):
        program = jit_step(*given)

        def run(*inputs):
            runs.append(program.trace(*inputs))
            return program(*inputs)

        return run

    monkeypatch.setattr(training_loop, "jit_step", spy)
    # The sheet at the end is drawn by programs of its own, which take longer to compile.
    monkeypatch.setattr(
        held_out, "draw_sheet", lambda *_, **__: np.zeros((8, 8, 3), np.uint8)
    )
    train_prior(config, tmp_path, None)
    mesh = training_mesh(config)
    assert mesh is not None
    inspected = trace_step(config, mesh)
    lowered = inspected.lower().as_text()  # shardings too
    assert len(runs) == 2
    for run in runs:
        assert str(run.jaxpr) == str(inspected.jaxpr)
        assert run.in_avals == inspected.in_avals
        assert run.lower().as_text() == lowered


@pytest.mark.slow
def test_devices_that_share_a_clip_divide_its_projection_and_its_videos(
    config, encoded
):
    """The clips that the network sees are those of one device."""
    config = on(config, encoded, projections=0, drop_projection=0.5)
    config = changed(config, model={"parametrisation": Residual()})
    batch = next(training_batches(config, 0))
    weights, key = codec_weights(config), jax.random.key(3)

    def conditions(batch, weights):
        return prepare(batch, key, config.model, config.data, weights)

    expected = jax.jit(conditions)(batch, weights)
    mesh = training_mesh(
        changed(config, mesh={"data": 1, "fsdp": 2, "view": 2, "time": 2})
    )
    assert mesh is not None
    with jax.set_mesh(mesh):
        found = jax.jit(conditions)(put_batch(mesh, batch), codec_weights(config, mesh))
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected
    )


def test_what_does_not_fit_is_refused(config, encoded):
    told = "2 encoded projections, expected 3 that this model reads"
    with pytest.raises(InputError, match=told):
        training_batches(on(config, encoded, projections=3), 0)
    reads = changed(config, model={"parametrisation": Residual()})
    with pytest.raises(InputError, match="none with its holes filled"):
        training_batches(on(reads, encoded), 0)
