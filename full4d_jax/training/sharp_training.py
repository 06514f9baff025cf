"""Training of a depth network that starts from Tiefenrausch, to be sharper and nearer to the truth.

Every step sees procedural frames with their exact depth, whose loss is `depth_loss.loss`, and as
many real pictures, of which it must keep Tiefenrausch's own depth: with e = d - D, where d is the
network's log depth and D that of Tiefenrausch, both means over cells of `CELL` pixels,

    anchor = mean |e - median e| + mean difference of e between neighbours 1, 2 and 4 cells apart

which knows no scale. Means, because Tiefenrausch's outlines are soft and need not be kept.
"""

import itertools
import json
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import reduce
from jaxtyping import Array, Float, Float32, Float64, Integer, PRNGKeyArray, UInt8
from numpy import ndarray

from full4d_jax.config import to_dict
from full4d_jax.config.depth import SharpDepthConfig, Size
from full4d_jax.models.sharp_depth import Params, init_params, log_depth
from full4d_jax.models.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.models.weights import load_metadata, load_params, require_model, save_params
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.source.depth.estimate import (
    TIEFENRAUSCH,
)
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.depth_augmentation import augment
from full4d_jax.training.depth_loss import loss, roughness
from full4d_jax.training.depth_training import (
    Frames,
    Metrics,
    held_out_errors,
    procedural_frames,
)
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import TrainState, apply_gradients, config_optimizer, first_state
from input_pipeline.footage import (
    PICTURES,
    listed,
    read_picture,
    training_clips,
    without_held_out,
)
from input_pipeline.procedural.looks import NO_PHOTOS, Looks, looks_at
from input_pipeline.video_files import frame_times, read_frames
from input_pipeline.whole_files import write_text

CELL = 8  # pixels per side
TURN = 100  # steps in a row of one size, as each size is a program of its own
HELD_OUT = 32  # frames that the summary's errors are means of
SMALLEST = 0.6  # share of the largest crop of a shape that a crop spans at least, along a side


def train_sharp_depth(
    config: SharpDepthConfig, out: Path, init: Path | None, profile: tuple[int, int] | None = None
) -> None:
    """Train to the last step and write `sharp_depth.safetensors` and `.json` to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights of an earlier such training; None starts from Tiefenrausch.
      profile: the first and the last step of a trace.
    """
    teacher = load_tiefenrausch(TIEFENRAUSCH)
    trunk = jax.tree.map(jnp.copy, teacher)  # its own buffers, which the step donates
    params = init_params(config.model, trunk, jax.random.key(config.seed))
    if init is not None:
        require_model(init, load_metadata(init), config.model)
        params, _ = load_params(init, params)
    state, summary = run_training(
        partial(train_step, config),
        start_at(first_state(config_optimizer(config), params)),
        partial(batches, config, teacher),
        config.training,
        out,
        run_record(config, init),
        reporting=Reporting(profile=profile),
    )
    weights = out / "sharp_depth.safetensors"
    save_params(weights, state.ema, {"model": to_dict(config.model)})
    errors = held_out_errors(config, state.ema, config.data.sizes[0], HELD_OUT)
    text = json.dumps({**summary, "held_out": errors}, indent=1)
    write_text(weights.with_suffix(".json"), text + "\n")
    print(f"wrote {weights} and {weights.with_suffix('.json')}; held out: {errors}")


def batches(
    config: SharpDepthConfig, teacher: Params, start: int
) -> Iterator[tuple[Frames, Frames]]:
    """Return the batches from step `start` on: procedural and real frames, and their depth."""
    data = config.data
    count = config.training.batch
    photos = training_photos(data.photos)
    for step in itertools.count(start):
        size = data.sizes[step // TURN % len(data.sizes)]
        rng = np.random.default_rng((config.seed, step))
        with input_errors("config", "change data.photos or data.videos"):
            looks = looks_at(step, photos=data.photos, videos=data.videos, seed=config.seed)
            crops = [
                real_crop(rng, photos, data.videos, data.filmed, size[1:]) for _ in range(count)
            ]
        yield (
            procedural_batch(config, step, size, looks),
            real_batch(teacher, _key(config, step), jnp.asarray(np.stack(crops))),
        )


@partial(jax.jit, static_argnums=(0, 2))
def procedural_batch(
    config: SharpDepthConfig,
    step: Integer[Array, ""] | int,
    size: Size,
    looks: Looks = NO_PHOTOS,
) -> Frames:
    """Render the procedural frames of one step, augmented, in [-1, 1], and their depth."""
    count = config.training.batch
    first = jnp.uint32(config.seed) * 2**24 + jnp.uint32(step) * count
    indices = (first + jnp.arange(count, dtype=jnp.uint32)) % config.data.scenes
    frames, depth = procedural_frames(indices, size, config.data.worlds, looks)
    keys = jax.random.split(jax.random.fold_in(_key(config, step), 1), count)
    return jax.vmap(augment)(keys, frames, depth)


@jax.jit
def real_batch(teacher: Params, key: PRNGKeyArray, crops: Float[Array, "b h w 3"]) -> Frames:
    """Return real pictures, augmented, in [-1, 1], and Tiefenrausch's depth of the originals."""
    depth = jnp.exp(-log_disparity(teacher, 2 * crops - 1))
    return jax.vmap(augment)(jax.random.split(key, len(crops)), crops, depth)


def _key(config: SharpDepthConfig, step: Integer[Array, ""] | int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(config.seed), step)


def train_step(
    config: SharpDepthConfig, state: TrainState, batch: tuple[Frames, Frames]
) -> tuple[TrainState, Metrics]:
    """Take one step; a pure function."""
    (rendered, true_depth), (real, teacher_depth) = batch
    frames = jnp.concatenate([rendered, real])

    def objective(params: Params) -> tuple[Float[Array, ""], Metrics]:
        logs = log_depth(config.model, params, frames)
        truth = loss(logs[: len(rendered)], true_depth)
        anchor = anchor_loss(logs[len(rendered) :], teacher_depth)
        return truth + config.anchor * anchor, {"truth": truth, "anchor": anchor}

    grad = jax.value_and_grad(objective, has_aux=True)
    (value, parts), gradients = grad(state.params)
    state = apply_gradients(config_optimizer(config), config.optimizer.ema, state, gradients)
    return state, {"loss": value, **parts, "gradient_norm": optax.tree.norm(gradients)}


def anchor_loss(
    predicted: Float[Array, "b h w"], teacher_depth: Float[Array, "b h w"]
) -> Float[Array, ""]:
    """Return the module's loss of log depths of real pictures."""
    cells = partial(reduce, pattern="b (h i) (w j) -> b h w", reduction="mean", i=CELL, j=CELL)
    error = cells(predicted - jnp.log(teacher_depth))
    error = error - jnp.median(error, (1, 2), keepdims=True)
    return jnp.abs(error).mean() + roughness(error)


def training_photos(folder: str) -> list[Path]:
    """Return the folder's photographs but every fifth by name, which are held out.

    Raises:
      InputError: there is none.
    """
    photos = listed(Path(folder), PICTURES) if folder else []
    if not photos:
        expected = "photographs"
        do = "give a folder with --data.photos"
        raise InputError("config", f"data.photos {folder}", "no picture", expected, do)
    return without_held_out(photos)


def real_crop(
    rng: np.random.Generator,
    photos: list[Path],
    videos: str,
    filmed: float,
    size: tuple[int, int],
) -> Float32[ndarray, "h w 3"]:
    """Return a crop in [0, 1] of a photograph, or of a frame of a training clip.

    Args:
      rng: draws the picture and the place of the crop.
      photos: files to draw from.
      videos: folder of clips to draw from; "" for photographs alone.
      filmed: share of the crops that are of clips.
      size: rows and columns.
    """
    if videos and rng.uniform() < filmed:
        clips = training_clips(videos)
        clip = clips[rng.integers(len(clips))]
        times = _times(clip)
        picture = next(iter(read_frames(clip, times[rng.integers(len(times), size=1)])))
    else:
        picture = read_picture(photos[rng.integers(len(photos))])
    return crop(rng, picture, size)


def crop(
    rng: np.random.Generator, picture: UInt8[ndarray, "H W 3"], size: tuple[int, int]
) -> Float32[ndarray, "h w 3"]:
    """Return a crop of the shape of `size`, anywhere in the picture, at that size and in [0, 1]."""
    height, width = picture.shape[:2]
    scale = rng.uniform(SMALLEST, 1) * min(height / size[0], width / size[1])
    rows, columns = (max(1, round(scale * side)) for side in size)
    top = rng.integers(height - rows + 1)
    left = rng.integers(width - columns + 1)
    cut = picture[top : top + rows, left : left + columns]
    small = cv2.resize(cut, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


@lru_cache
def _times(clip: Path) -> Float64[ndarray, "t"]:
    """Return the times of a clip's frames, which take long to read."""
    return frame_times(clip)
