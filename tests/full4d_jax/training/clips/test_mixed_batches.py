"""Warps of videos and animated assets in one training, by shares, resumed to the bit."""

import dataclasses
import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
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
from input_pipeline.procedural.clips import ProceduralClips
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
    small["moves_base"] = False  # which test_grid_motion.py looks at
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


@pytest.fixture(scope="module")
def posed(config, tmp_path_factory) -> Config:
    """A prior with projection: captures, rendered scenes and, every other batch, videos."""
    folder = tmp_path_factory.mktemp("posed")
    for name, first in (("captures", 0), ("rendered", 100)):
        clips = ProceduralClips(first=first, count=4, views=3, frames=2, height=16, width=16)
        write_dataset(folder / name, clips, name=name, shards=1)
    debug = load_config("configs/debug.py")
    small = {"layers": 1, "refiner": 0}
    mixed = {"records": (f"{folder / 'captures'}=1", f"{folder / 'rendered'}=1"), "pseudo": 0.5}
    videos = {"videos": config.data.videos, "pseudo_views": 3}
    config = dataclasses.replace(
        debug,
        model=dataclasses.replace(debug.model, **small),
        data=dataclasses.replace(debug.data, **SIZE, **mixed, **videos),
        optimizer=dataclasses.replace(debug.optimizer, kind="adamw"),
        training=dataclasses.replace(debug.training, batch=4),
    )
    check_config(config)
    return config


def test_a_posed_prior_sees_captures_rendered_scenes_and_videos(posed):
    stream, kinds = grid_batches(posed, 0), []
    for step in range(4):
        batch = next(stream)
        assert batch.frames.shape == (4, 3, 2, 16, 16, 3)
        assert np.isfinite(np.asarray(batch.cameras.world_to_camera)).all()
        names = list(map(str, clips_at(posed, step)))
        kinds.append([sum(word in x for x in names) for word in ("/captures", "/rendered", ".mp4")])
    assert kinds == [[2, 2, 0], [0, 0, 4], [2, 2, 0], [0, 0, 4]]
    for step in (2, 3):
        jax.tree.map(
            np.testing.assert_array_equal,
            next(training_batches(posed, step)),
            list(itertools.islice(training_batches(posed, 0), step + 1))[-1],
        )


def test_what_cannot_be_mixed(posed):
    for wrong, said in (
        ({"projections": 2}, r"data\.projections.*0 with --data\.pseudo"),
        ({"videos": ""}, r"a folder --data\.videos"),
    ):
        data = dataclasses.replace(posed.data, **wrong)
        with pytest.raises(InputError, match=said):
            check_config(dataclasses.replace(posed, data=data))


@pytest.mark.slow
def test_one_program_trains_on_all_of_them(posed):
    traced = []
    take = train_step(posed)

    def counted(state, batch):
        traced.append(jax.tree.map(jnp.shape, batch))
        return take(state, batch)

    step = jax.jit(counted)
    state = init_state(posed, jax.random.key(0))
    for batch in itertools.islice(training_batches(posed, 0), 4):
        state, metrics = step(state, batch)
        assert np.isfinite(float(metrics["loss"]))
    assert len(traced) == 1


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
