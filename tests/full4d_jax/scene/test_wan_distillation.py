"""Both forms of distillation by Wan's network and codec, at toy width, with both guidances."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_grids import arc
from random_weights import random_params
from toy_codec import save_toy_codec
from toy_wan import SMALL

from full4d_jax.config import SamplerConfig, load_config
from full4d_jax.generation.batch import mark_first_frame
from full4d_jax.generation.generate import make_conditions
from full4d_jax.generation.prior import prior_with
from full4d_jax.models.codec import make_codec
from full4d_jax.models.dit.dit import velocity
from full4d_jax.scene.prior_teacher import bind_prior, halfway_cameras, halfway_teacher
from gaussians import distillation_loss
from input_pipeline.pinhole import orbit

VIEWS, FRAMES, SIDE = 3, 5, 32
# Frames, in which a window of `FRAMES`, two of Wan's latents, can start twice.
LONGER = 9
GUIDANCE, OF_TEXT = 2.5, 3.0


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """The preset of Wan2.2-TI2V-5B but for its sizes; no weight is zero."""
    folder, wan = tmp_path_factory.mktemp("wan"), load_config("configs/wan22_5b.py")
    texts = np.random.default_rng(0).normal(size=(2, 3, SMALL["text_width"]))
    for name, text in zip(("text", "negative"), texts, strict=True):
        np.savez(folder / f"{name}.npz", text=text)
    config = dataclasses.replace(
        wan,
        codec_weights=save_toy_codec(folder / "vae.safetensors", "wan22"),
        text=str(folder / "text.npz"),
        negative_text=str(folder / "negative.npz"),
        model=dataclasses.replace(
            wan.model, **SMALL, precision="float32", remat="none"
        ),
        sampler=SamplerConfig(
            steps=2, noise=1.0, guidance=GUIDANCE, text_guidance=OF_TEXT
        ),
    )
    return prior_with(config, random_params(config.model, 0.2))


def grid(length):
    """Frames of all views in [0, 1], the source's depth, and cameras on an arc."""
    rng = np.random.default_rng(1)
    frames = rng.uniform(0, 1, (VIEWS, length, SIDE, SIDE, 3))
    depth = rng.uniform(0.9, 1.1, (length, SIDE, SIDE))
    arrays = frames, depth, arc(VIEWS, length, SIDE, SIDE)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), arrays)


@pytest.mark.slow
@pytest.mark.parametrize("window", [0, 1])
def test_a_window_is_queried_as_a_clip_of_its_own(prior, window):
    """Earlier instants, and views beside the queried ones, change nothing."""
    frames, depth, cameras = grid(LONGER)
    turn = orbit(np.linspace(0, 8, LONGER), np.zeros(LONGER)).astype(np.float32)
    cameras = dataclasses.replace(
        cameras, world_to_camera=cameras.world_to_camera @ turn
    )
    whole = halfway_teacher(
        "gradient", prior, frames[0], depth, cameras, views=1, frames=FRAMES
    )
    start, view = 4 * window, jnp.array([1])
    at = slice(start, start + FRAMES)
    assert whole.windows is not None
    np.testing.assert_array_equal(whole.windows[window], np.arange(LONGER)[at])
    assert len(whole.windows) == 2
    assert whole.part is not None
    bound = whole.part(whole.params, view, jnp.int32(window))

    poses = halfway_cameras(cameras).world_to_camera[1:, at]
    poses = jnp.concatenate([cameras.world_to_camera[:1, at], poses])
    # The world is the source's first camera.
    poses = poses @ jnp.linalg.inv(poses[0, 0])
    own = dataclasses.replace(cameras.views([0, 1]), world_to_camera=poses)
    alone = bind_prior(prior, 2 * frames[:1, at] - 1, depth[None, at], own)
    z = jax.random.normal(jax.random.key(0), (1, *alone.guides[0].projection.shape[2:]))
    tau, query = jnp.float32(0.6), jax.jit(whole.velocity)
    expected = query(alone, z, tau)
    np.testing.assert_allclose(query(bound, z, tau), expected, atol=1e-4)
    for others in ((view - 1, jnp.int32(window)), (view, jnp.int32(1 - window))):
        elsewhere = query(whole.part(whole.params, *others), z, tau)
        assert jnp.abs(elsewhere - expected).max() > 0.1


@pytest.mark.slow
def test_a_video_is_pulled_by_the_guided_velocity_through_the_encoder(prior):
    """By the equations: dL/dx = E'(x)^T 2 tau (v - u) / n, with v guided twice."""
    frames, depth, cameras = grid(FRAMES)
    teacher = halfway_teacher("gradient", prior, frames[0], depth, cameras)
    video = np.random.default_rng(2).uniform(0, 1, (VIEWS - 1, *frames.shape[1:]))
    video, tau, key = jnp.float32(video), jnp.float32(0.6), jax.random.key(3)

    @jax.jit
    def found(video):
        def query(z, tau):
            return teacher.velocity(teacher.params, z, tau)

        def encode(video):
            return teacher.encode(teacher.params, video)

        def loss(video):
            return distillation_loss(video, query, encode, tau, key)

        return jax.value_and_grad(loss)(video)

    @jax.jit
    def by_hand(video):
        novel = halfway_cameras(cameras).world_to_camera
        poses = jnp.concatenate([cameras.world_to_camera[:1], novel])
        queried = dataclasses.replace(cameras, world_to_camera=poses)

        def conditions(depth, text):
            source = 2 * frames[:1] - 1
            weights = prior.codec_weights
            made, _ = make_conditions(
                prior.model, source, depth[None], queried, weights
            )
            made = jax.tree.map(
                lambda x: x[None], made._replace(text=jnp.asarray(text))
            )
            return made._replace(real=mark_first_frame(*made.base.shape[:3]))

        whole = conditions(depth, prior.text)
        others = (
            conditions(0 * depth, prior.text),
            conditions(depth, prior.negative_text),
        )
        codec = make_codec(prior.model, prior.codec_weights)
        z, back = jax.vjp(lambda x: codec.encode(2 * x - 1), video)
        noise = jax.random.normal(key, z.shape)
        noisy = (1 - tau) * z + tau * noise
        source = whole.projection[0, :1]
        own_noise = jax.random.normal(jax.random.key(0), source.shape)
        source = (1 - tau) * source + tau * own_noise
        network = velocity(prior.model, prior.params)
        seen = jnp.concatenate([source, noisy])
        v, *without = (
            network(seen[None], tau[None], x)[0, 1:] for x in (whole, *others)
        )
        v = v + (GUIDANCE - 1) * (v - without[0]) + (OF_TEXT - 1) * (v - without[1])
        off = tau * (v - (noise - z))
        return (off**2).mean(), back(2 * off / z.size)[0], without[0] - v

    (value, slope), (expected, pull, led) = found(video), by_hand(video)
    assert value == pytest.approx(float(expected), rel=1e-4)
    scale = float(jnp.abs(pull).max())
    np.testing.assert_allclose(slope / scale, pull / scale, atol=1e-4)
    assert scale > 1e-5
    assert float(jnp.abs(led).mean()) > 1e-2  # guidance does lead somewhere
