"""Training of the inpainting network: what a step sees, and that steps lower the loss."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.inpainting import (
    InpaintingConfig,
    InpaintingDataConfig,
    InpaintingNetConfig,
)
from full4d_jax.media.pictures import save_picture
from full4d_jax.media.video import write_video
from full4d_jax.models.inpainting import init_params
from full4d_jax.session.errors import InputError
from full4d_jax.training import inpainting_training
from full4d_jax.training.clips.drawn_holes import draw_hole
from full4d_jax.training.inpainting_training import Holes
from full4d_jax.training.state import config_optimizer, first_state
from input_pipeline.video_files import frame_times, read_frames

CLIP = Path(inpainting_training.__file__).parents[1] / "clips" / "shop_aisle.mp4"

TINY = InpaintingConfig(
    model=InpaintingNetConfig(widths=(8, 8, 8), dilations=(1,)),
    data=InpaintingDataConfig(side=32),
    optimizer=OptimizerConfig(kind="adamw", adam_learning_rate=0.01, warmup=1),
    training=TrainingConfig(batch=4, steps=20),
    perceptual=0.0,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> InpaintingConfig:
    """The config of photographs of noise, and of a video of which all frames are one blue."""
    photos = tmp_path_factory.mktemp("photos")
    for i in range(5):
        noise = np.random.default_rng(i).integers(0, 255, (80, 100, 3)).astype(np.uint8)
        save_picture(photos / f"{i}.png", noise)
    videos = tmp_path_factory.mktemp("videos")
    film = np.full((12, 48, 64, 3), (20, 20, 220), np.uint8)
    write_video(videos / "a.mp4", film, fps=8)
    data = InpaintingDataConfig(side=32, photos=str(photos), videos=str(videos))
    return replace(TINY, data=data)


def test_holes_are_never_nowhere_nor_everywhere_and_of_all_sizes():
    shares = [draw_hole(np.random.default_rng(seed), 64).mean() for seed in range(200)]
    assert min(shares) > 0
    assert max(shares) < 1
    assert np.quantile(shares, 0.1) < 0.05
    assert np.quantile(shares, 0.9) > 0.25


def test_a_later_start_goes_on_with_the_same_pictures(pictures):
    stream = inpainting_training.batches(pictures, 0)
    whole = [next(stream) for _ in range(4)]
    resumed = next(inpainting_training.batches(pictures, 3))
    jax.tree.map(np.testing.assert_array_equal, resumed, whole[3])
    assert whole[0].pictures.shape == (4, 32, 32, 3)
    assert not np.array_equal(whole[0].pictures, whole[1].pictures)


def test_a_share_of_the_pictures_is_filmed(pictures):
    for share in (0.0, 1.0):
        data = replace(pictures.data, filmed=share)
        seen = next(inpainting_training.batches(replace(pictures, data=data), 0)).pictures
        is_flat = np.ptp(np.asarray(seen).astype(int), (1, 2)).max(1) < 12
        assert is_flat.all() if share else not is_flat.any()


def test_distances_are_those_from_what_is_shown(pictures):
    batch = next(inpainting_training.batches(pictures, 0))
    for distance in np.asarray(batch.distance):
        exact = cv2.distanceTransform((distance > 0).astype(np.uint8), cv2.DIST_L2, 5)
        assert (distance >= exact - 0.5).all()
        assert (distance <= exact + 1.5).all()


def test_the_truth_does_not_count_where_it_shows_people():
    """People in a room are some of the picture, and all else counts."""
    frame = next(iter(read_frames(CLIP, frame_times(CLIP)[:1])))
    subjects = inpainting_training.subjects_of(frame) > 0
    assert 0.01 < subjects.mean() < 0.3
    holes = inpainting_training.as_holes(
        np.concatenate([frame, 255 * subjects[..., None].astype(np.uint8)], -1)[None],
        np.ones((1, *subjects.shape), np.uint8),
    )
    np.testing.assert_array_equal(holes.counts[0], ~subjects)


def test_a_folder_without_photographs_is_refused(tmp_path):
    config = replace(TINY, data=replace(TINY.data, photos=str(tmp_path)))
    with pytest.raises(InputError, match="no picture"):
        next(inpainting_training.batches(config, 0))


def test_steps_lower_the_loss():
    """What can be learned: whatever is around, holes are red."""
    distance = np.zeros((4, 32, 32), np.uint8)
    distance[:, 8:24, 8:24] = 3
    around = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3))
    red = np.where(distance[..., None] > 0, (250, 10, 10), around).astype(np.uint8)
    ones = jnp.ones_like(distance)
    batch = Holes(jnp.asarray(red), jnp.asarray(distance), ones)
    state = first_state(config_optimizer(TINY), init_params(TINY.model, jax.random.key(0)))
    step = jax.jit(partial(inpainting_training.train_step, TINY))
    losses = []
    for _ in range(15):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.5 * losses[0]
    assert int(state.step) == 15


def test_the_loss_sees_holes_alone_and_near_errors_more():
    truth = jax.random.uniform(jax.random.key(0), (1, 16, 80, 3))
    distance = (
        jnp.zeros((1, 16, 80), jnp.uint8).at[:, :, 8:].set(jnp.arange(1, 73, dtype=jnp.uint8))
    )
    counts = jnp.ones_like(distance).at[:, :, 40:50].set(0)

    def loss(columns: slice) -> float:
        wrong = truth.at[:, :, columns].add(0.3)
        return float(inpainting_training.loss(wrong, truth, distance, counts))

    assert loss(slice(0, 0)) == 0
    assert loss(slice(0, 7)) == 0, "outside of the hole"
    assert loss(slice(42, 48)) == 0, "a subject"
    assert loss(slice(10, 14)) > 2 * loss(slice(70, 74)) > 0
