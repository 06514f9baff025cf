"""Warps of videos and animated assets in one training, by shares, resumed to the bit."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from grid_batches import grid_batches, is_warp
from skinned_arm import write_arm

from full4d_jax.config import Config, check_config, load_config
from full4d_jax.media.video import write_video
from full4d_jax.session.errors import InputError
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.clips.batches import clips_at, training_batches
from full4d_jax.training.state import init_state
from full4d_jax.training.step import train_step
from input_pipeline.datasets.dataset import write_dataset
from input_pipeline.procedural.gltf_clips import GltfClips

SIZE = {"views": 3, "frames": 2, "height": 16, "width": 16}


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    """Four clips a step: one from two sets of an asset, three from the videos of a folder."""
    folder = tmp_path_factory.mktemp("mixed")
    write_arm(folder / "arm.glb")
    for name, count in (("few", 2), ("more", 4)):
        clips = GltfClips(
            (folder / "arm.glb",), count, views=3, frames=2, height=16, width=16, orbit=True
        )
        write_dataset(folder / name, clips, name=name, shards=1)
    (folder / "videos").mkdir()
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 255, (8, 8, 8, 3), np.uint8)
        write_video(folder / "videos" / f"{i}.mp4", noise.repeat(4, 1).repeat(4, 2), 8)
    preset = load_config("configs/four_real.py")
    small = {"width": 32, "layers": 1, "heads": 2, "ffn": 32, "refiner": 0, "patch": 8}
    mixed = {
        "records": (f"{folder / 'few'}=1", f"{folder / 'more'}=3"),
        "videos": str(folder / "videos"),
        "pseudo": 0.75,
    }
    config = dataclasses.replace(
        preset,
        model=dataclasses.replace(preset.model, **small),
        data=dataclasses.replace(preset.data, **SIZE, **mixed),
        optimizer=dataclasses.replace(preset.optimizer, kind="adamw"),  # compiles faster
        training=dataclasses.replace(preset.training, batch=4),
    )
    check_config(config)
    return config


def test_batches_have_both_by_their_shares_and_name_them(config):
    stream, names, places = grid_batches(config, 0), [], []
    for step in range(8):
        batch = next(stream)
        assert batch.frames.shape == (4, 3, 2, 16, 16, 3)
        assert is_warp(batch).sum() == 3
        places.append(int(np.argmin(is_warp(batch))))
        names += clips_at(config, step)
    assert len(set(places)) > 1  # in no fixed order
    assert sum("/few " in name for name in names) == 2
    assert sum("/more " in name for name in names) == 6
    films = {Path(name).name for name in names if name.endswith(".mp4")}
    assert films == {f"{i}.mp4" for i in (0, 1, 2, 3, 5)}  # the fifth is left for evaluation


def test_any_batch_comes_again(config):
    stream = training_batches(config, 0)
    *_, third = (next(stream) for _ in range(3))
    jax.tree.map(np.testing.assert_array_equal, next(training_batches(config, 2)), third)


def test_cached_latents_are_refused(config, tmp_path):
    asset = Path(config.data.videos).parent / "arm.glb"
    clips = GltfClips((asset,), 1, views=3, frames=2, height=16, width=16)
    example = clips[0]._replace(codec="pixels-1", latents=np.zeros((3, 2, 16, 16, 3), np.float16))

    class Encoded:
        scene_ids = ("gltf-arm",)

        def __len__(self):
            return 1

        def __getitem__(self, index):
            return example

    write_dataset(tmp_path / "encoded", Encoded(), name="encoded", shards=1)
    data = dataclasses.replace(config.data, records=(str(tmp_path / "encoded"),))
    with pytest.raises(InputError, match=r"data\.pseudo: found 0\.75"):
        training_batches(dataclasses.replace(config, data=data), 0)


@pytest.mark.slow
def test_a_training_of_both_goes_on_to_the_bit(config, tmp_path):
    step, stream = jax.jit(train_step(config)), training_batches(config, 0)
    state, losses = init_state(config, jax.random.key(0)), []
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for _ in range(4):
            if len(losses) == 2:
                checkpoints.save(state, {})
            state, metrics = step(state, next(stream))
            losses.append(float(metrics["loss"]))
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        again, _ = checkpoints.restore(state)
    stream = training_batches(config, int(again.step))
    for loss in losses[2:]:
        again, metrics = step(again, next(stream))
        assert float(metrics["loss"]) == loss
    jax.tree.map(np.testing.assert_array_equal, again, state)
    assert int(again.step) == 4
    assert len(set(losses)) == 4
