"""4Real-Video around Wan's weights, at toy width: convert, and train on warped videos."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file
from toy_codec import save_toy_codec
from toy_wan import SMALL, random_wan

from full4d_jax.cli import main
from full4d_jax.config import MeshConfig, check_config, load_config
from full4d_jax.media.video_io import write_video
from full4d_jax.models.codec_files import codec_weights
from full4d_jax.models.dit.sharding import dotted
from full4d_jax.models.initial_params import start_from
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.state import state_from_params
from full4d_jax.training.step import train_step

PRESET = ["--config", "four_real_wan"]
STEPS = 25
TRAINED = {  # and nothing else
    "guide.freeze_or_fixed",
    "synchronization_time.kernel",
    "synchronization_time.bias",
    "blocks.synchronization.mix.kernel",
    "blocks.synchronization.mix.bias",
    "blocks.synchronization.modulation",
}


def waves(seed: int) -> np.ndarray:
    """A video of coloured waves that travel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :96]
    time = np.arange(12)[:, None, None, None]
    place = x[..., None] * rng.normal(size=3) + y[..., None] * rng.normal(size=3)
    return (127 + 120 * np.sin(place / 5 + time * rng.normal(size=3))).astype(np.uint8)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The preset but for its sizes."""
    folder = tmp_path_factory.mktemp("films")
    for seed in range(4):
        write_video(folder / f"{seed}.mp4", waves(seed), 24)
    preset = load_config(PRESET[1])
    config = dataclasses.replace(
        preset,
        codec_weights=save_toy_codec(folder / "vae.safetensors", "wan22"),
        model=dataclasses.replace(
            preset.model, **SMALL, precision="float32", remat="none"
        ),
        data=dataclasses.replace(
            preset.data,
            views=3,
            frames=5,
            height=32,
            width=64,
            videos=str(folder),
            pseudo=1.0,
        ),
        optimizer=dataclasses.replace(
            preset.optimizer, adam_learning_rate=0.02, warmup=1
        ),
        training=dataclasses.replace(preset.training, batch=2, steps=STEPS),
        mesh=MeshConfig(data=1),
    )
    check_config(config)
    return config


@pytest.fixture(scope="module")
def converted(config, tmp_path_factory):
    """Random weights of Wan as diffusers publishes them, converted with the preset."""
    folder = tmp_path_factory.mktemp("wan")
    save_file(
        random_wan(config.model, "diffusers", scale=0.15), folder / "a.safetensors"
    )
    sizes = [word for name, n in SMALL.items() for word in (f"--model.{name}", str(n))]
    target = folder / "ours.safetensors"
    files = ["--from", str(folder), "--to", str(target)]
    assert main(["convert", "wan", *PRESET, *sizes, *files]) == 0
    return target


@pytest.mark.slow
def test_training_synchronizes_and_changes_no_bit_of_wan(config, converted):
    params = start_from(config.model, converted, jax.random.key(0))
    weights = codec_weights(config)
    before, step = state_from_params(config, params), jax.jit(train_step(config))

    def losses(state) -> np.ndarray:
        """On clips, times and noise of steps that training never reaches."""
        batches, found = training_batches(config, 1000), []
        for i in range(3):
            later = state._replace(step=jnp.int32(1000 + i))
            found.append(float(step(later, next(batches), weights)[1]["loss"]))
        return np.array(found)

    after, batches = before, training_batches(config, 0)
    for _ in range(STEPS):
        after, metrics = step(after, next(batches), weights)
    assert (losses(after) < 0.9 * losses(before)).all()
    assert float(metrics["gradient_norm"]) > 0

    changed = {
        dotted(path)
        for tree in ("params", "ema")
        for (path, old), new in zip(
            jax.tree.leaves_with_path(getattr(before, tree)),
            jax.tree.leaves(getattr(after, tree)),
            strict=True,
        )
        if np.asarray(old).tobytes() != np.asarray(new).tobytes()
    }
    assert changed == TRAINED
    sizes = {dotted(path): x.size for path, x in jax.tree.leaves_with_path(params)}
    stored = sum(x.size for x in jax.tree.leaves(after.optimizer) if x.ndim)
    assert stored == 2 * sum(sizes[name] for name in TRAINED)  # AdamW's two moments
