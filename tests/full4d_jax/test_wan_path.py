"""The way of a user of Wan's weights, at toy width: encode, train on a mesh, go on on one device,
sample with guidance."""

import dataclasses
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_codec import save_toy_codec
from toy_wan import SMALL

from full4d_jax.cameras import Cameras
from full4d_jax.config import MeshConfig, SamplerConfig, load_config
from full4d_jax.data.data_options import Writing
from full4d_jax.data.encode import encode_dataset
from full4d_jax.generation.batch import mark_first_frame
from full4d_jax.generation.generate import generate_grid, make_conditions
from full4d_jax.generation.prior import load_network, prior_with
from full4d_jax.generation.sampling import schedule
from full4d_jax.models.codec import make_codec
from full4d_jax.models.dit.dit import velocity
from full4d_jax.training.prior_training import train_prior
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.procedural.clips import ProceduralClips
from input_pipeline.transforms import decode, to_source

SIZE = {"views": 3, "frames": 5, "height": 32, "width": 32}
STEPS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan")
    clips = ProceduralClips(first=0, count=4, views=3, frames=5, height=32, width=32)
    write_dataset(folder / "scenes", clips, name="scenes", shards=1)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    """The preset of Wan2.2-TI2V-5B but for its sizes."""
    wan = load_config("configs/wan22_5b.py")
    texts = np.random.default_rng(0).normal(size=(2, 3, 6))
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
        data=dataclasses.replace(wan.data, **SIZE, projections=2, drop_text=0.25),
        optimizer=dataclasses.replace(wan.optimizer, adam_learning_rate=1e-2, warmup=1),
        training=dataclasses.replace(
            wan.training,
            batch=4,
            steps=STEPS,
            checkpoint_every=1,
            log_every=1,
            sheet_every=0,
        ),
        mesh=MeshConfig(data=1),
    )
    (folder / "latents").mkdir()
    writing = Writing(1, (0, 1))
    encode_dataset(config, folder / "scenes", folder / "latents", "train", writing)
    records = dataclasses.replace(config.data, records=(str(folder / "latents"),))
    return dataclasses.replace(config, data=records)


def losses(out) -> list[float]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.fixture(scope="module")
def trained(config, folder):
    """The folder of a run on one device."""
    train_prior(config, folder / "one", None)
    return folder / "one"


@pytest.mark.slow
def test_a_mesh_and_then_one_device_have_the_losses_of_one(config, folder, trained):
    several = folder / "several"
    mesh = MeshConfig(data=2, fsdp=2, view=2)
    half = dataclasses.replace(config.training, steps=STEPS // 2)
    train_prior(dataclasses.replace(config, mesh=mesh, training=half), several, None)
    train_prior(config, several, None)
    expected = losses(trained)
    assert len(expected) == STEPS
    assert losses(several) == pytest.approx(expected, rel=1e-4)
    assert max(expected) - min(expected) > 1e-3  # the steps differ


@pytest.mark.slow
def test_three_views_are_sampled_with_both_guidances(config, folder, trained):
    """By the equations: v + 1.5 (v - v without the projection) + 2 (v - v with the other text)."""
    sampler = SamplerConfig(
        steps=2, noise=1.0, shift=5.0, guidance=2.5, text_guidance=3.0
    )
    config = dataclasses.replace(config, sampler=sampler)
    params = load_network(config, trained / "prior.safetensors")
    # Layers of Wan's that begin at zero let nothing through yet.
    params = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), params
    )
    prior = prior_with(config, params)
    clip = decode(open_dataset(folder / "scenes")[0], height=32, width=32)
    known, poses = to_source(clip.depth[0], clip.world_to_camera)
    frames = jnp.asarray(clip.frames[:1], jnp.float32) / 127.5 - 1
    depth = jnp.asarray(known)[None]
    cameras = Cameras(jnp.asarray(clip.intrinsics), jnp.asarray(poses), 32, 32)
    key = jax.random.key(2)
    found = generate_grid(prior, frames, depth, cameras, key)[0]

    @jax.jit
    def by_hand(depth):
        def conditions(depth, text):
            given = frames, depth, cameras, prior.codec_weights
            made, _ = make_conditions(config.model, *given)
            made = jax.tree.map(
                lambda x: x[None], made._replace(text=jnp.asarray(text))
            )
            return made._replace(real=mark_first_frame(*made.base.shape[:3]))

        whole = conditions(depth, prior.text)
        others = (
            conditions(0 * depth, prior.text),
            conditions(depth, prior.negative_text),
        )
        z = jax.random.normal(key, whole.projection.shape)
        # The source's first latent frame.
        z = z.at[:, 0, 0].set(whole.projection[:, 0, 0])
        network, times = velocity(config.model, params), schedule(2, 5.0)
        for tau, then in itertools.pairwise(times):
            v, *without = (network(z, tau[None], x) for x in (whole, *others))
            v = v + 1.5 * (v - without[0]) + 2.0 * (v - without[1])
            z = z + (then - tau) * v
        codec = make_codec(config.model, prior.codec_weights)
        return jnp.clip(codec.decode(z[0]), -1, 1), z

    expected, z = by_hand(depth)
    np.testing.assert_array_equal(found[:1], frames)
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-4)
    assert np.abs(z).max() > 0.5
    assert np.abs(found[1:]).mean() > 1e-2
