"""Cached latents: the losses of the pictures beside them, and what is refused."""

import jax
import numpy as np
import pytest
from changed import changed

from full4d_jax.config import load_config
from full4d_jax.data.data_options import Writing
from full4d_jax.data.encode import encode_dataset
from full4d_jax.session.errors import InputError
from full4d_jax.training.clips.batches import training_batches
from full4d_jax.training.state import init_state, training_mesh
from full4d_jax.training.step import train_step
from input_pipeline.datasets.dataset import open_dataset, write_dataset
from input_pipeline.pinhole import resize_intrinsics
from input_pipeline.procedural.clips import ProceduralClips


def configured(folder, **data):
    config = load_config("configs/debug.py")
    size = {
        "views": 2,
        "frames": 2,
        "height": 16,
        "width": 16,
        "records": (str(folder),),
    }
    return changed(
        config,
        model={"layers": 1, "width": 32, "heads": 2, "ffn": 32, "refiner": 0},
        data=size | data,
        training={"batch": 4},
        optimizer={"kind": "adamw"},
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "scenes"
    clips = ProceduralClips(first=0, count=8, views=3, frames=5, height=24, width=32)
    write_dataset(folder, clips, name="scenes", shards=2)
    return folder


@pytest.fixture(scope="module")
def encoded(dataset):
    out = dataset.parent / "encoded"
    out.mkdir()
    encode_dataset(configured(dataset), dataset, out, "train", Writing(2, (0, 1)))
    return out


def loss(config, state, batch):
    """The loss of one training step; nothing is differentiated, which compiles faster."""
    step = train_step(config)
    return float(jax.jit(lambda *given: step(*given)[1]["loss"])(state, batch))


def without_latents(folder, out):
    """Copy the records without their latents."""
    records = open_dataset(folder)

    class Plain:
        scene_ids = records.scene_ids

        def __len__(self):
            return len(records)

        def __getitem__(self, index):
            example = records[index]
            return example._replace(latents=example.latents[:, :0], codec="")

    write_dataset(out, Plain(), name="plain", shards=2)
    return out


def test_records_keep_what_was_shown_and_their_cameras(dataset, encoded):
    before, after = open_dataset(dataset)[3], open_dataset(encoded)[3]
    assert after.scene_id == before.scene_id
    assert after.latents.shape == (3, 5, 16, 16, 3)
    assert after.codec == "pixels, 1 x 1"
    moved = resize_intrinsics(before.intrinsics, rows=16 / 24, columns=16 / 24)
    moved[:, 0, 2] -= (round(32 * 16 / 24) - 16) // 2
    # 21 columns, not 21.3.
    np.testing.assert_allclose(after.intrinsics, moved, rtol=0.03)
    assert [bool(file) for file in after.depth16[:, 0]] == [True, False, False]


def test_losses_are_those_of_the_pictures(encoded, tmp_path):
    plain = without_latents(encoded, tmp_path / "plain")
    batches, losses = [], []
    for folder in (encoded, plain):
        config = configured(folder)
        batches.append(next(training_batches(config, 0)))
        state = init_state(config, jax.random.key(0))
        losses.append(loss(config, state, batches[-1]))
    cached, shown = batches
    assert cached.frames.shape == (4, 1, 2, 16, 16, 3)
    np.testing.assert_array_equal(cached.frames, shown.frames[:, :1])
    np.testing.assert_array_equal(cached.cameras.intrinsics, shown.cameras.intrinsics)
    # Half precision.
    np.testing.assert_allclose(cached.latents, shown.frames, atol=5e-4)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0] > 0.01


def test_a_mesh_gets_the_same_latents(encoded):
    config = configured(encoded)
    config = changed(config, mesh={"data": 2, "fsdp": 2, "view": 2})
    cut = next(training_batches(config, 1, training_mesh(config)))
    jax.tree.map(np.testing.assert_array_equal, cut, next(training_batches(config, 1)))


def test_an_interrupted_encoding_goes_on(dataset, encoded, tmp_path):
    config = configured(dataset)
    encode_dataset(config, dataset, tmp_path, "train", Writing(2, (0, 2)))
    with pytest.raises(ValueError, match="expected a finished dataset"):
        open_dataset(tmp_path)
    encode_dataset(config, dataset, tmp_path, "train", Writing(2, (1, 2)))
    assert open_dataset(tmp_path).content == open_dataset(encoded).content
    other = changed(config, model={"codec_stride": 2})
    with pytest.raises(InputError, match="of another build"):
        encode_dataset(other, dataset, tmp_path, "train", Writing(2, (0, 1)))


def test_latents_that_do_not_fit_are_refused(dataset, encoded):
    config = configured(encoded)
    other = changed(config, model={"codec_stride": 2})
    told = "latents of 'pixels, 1 x 1', expected pixels, 2 x 2"
    with pytest.raises(InputError, match=told):
        training_batches(other, 0)
    with pytest.raises(InputError, match=r"of 16x16, expected .* of pictures of 32x32"):
        training_batches(configured(encoded, height=32, width=32), 0)
    mixed = configured(encoded, records=(str(encoded), str(dataset)))
    with pytest.raises(InputError, match="latents of '', expected pixels, 1 x 1"):
        training_batches(mixed, 0)
