"""Training of the depth network from Tiefenrausch and FastDepth, to be nearer to the truth.

Every step sees procedural frames with their exact depth, whose loss is `depth_loss.loss`, and as
many real pictures, of which it must keep the published networks' answers: of rooms the depth D of
FastDepth, of all others that of Tiefenrausch. With e = d - log D, where d is the network's log
depth, both means over cells of `CELL` pixels,

    anchor = mean |e - median e| + mean difference of e between neighbours 1 and 2 cells apart

which knows no scale. Means, because outlines of both are soft and need not be kept.
Crops of photographs on surfaces, and people cut out of videos, come from
`input_pipeline.procedural.looks`; `depth_augmentation` says what happens to all frames.
"""

import itertools
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import reduce
from jaxtyping import Array, Bool, Float, Float32, Integer, PRNGKeyArray
from numpy import ndarray

from full4d_jax.config import to_dict
from full4d_jax.config.depth import DepthConfig, DepthDataConfig, DepthWorlds, Size
from full4d_jax.models.depth_net import Params, init_params, log_depth
from full4d_jax.models.fast_depth import fast_log_disparity, load_fast_depth
from full4d_jax.models.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.models.weights import load_metadata, load_params, require_model, save_params
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.estimate import (
    TIEFENRAUSCH,
    DepthNetwork,
    depth_errors,
    predict_depth,
)
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.depth_augmentation import augment
from full4d_jax.training.depth_loss import depth_roughness, loss
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.real_pictures import RealPictures, training_pictures
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import (
    TrainState,
    apply_gradients,
    config_optimizer,
    copied,
    first_state,
)
from input_pipeline.loader import ENDLESS
from input_pipeline.procedural.looks import NO_PHOTOS, Looks, looks_at
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene
from input_pipeline.procedural.wide_scene import wide_frame
from input_pipeline.whole_files import write_text

CELL = 16  # pixels per side
TURN = 100  # steps in a row of one size, as each size is a program of its own
HELD_OUT = 32  # frames that the summary's errors are means of
READERS = 16  # threads that read real pictures, each those of one step
Pictures = tuple[Float32[ndarray, "b h w 3"], Bool[ndarray, " b"]]
Frames = tuple[Float[Array, "b h w 3"], Float[Array, "b h w"]]
Metrics = dict[str, Float[Array, ""]]


class PublishedParams(NamedTuple):
    """Parameters of the networks by others: of the world, Tiefenrausch, and of rooms, FastDepth."""

    world: Params
    room: Params


def train_depth(
    config: DepthConfig, out: Path, init: Path | None, profile: tuple[int, int] | None = None
) -> None:
    """Train to the last step and write `depth.safetensors` and `.json` to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights of an earlier such training; None starts from the published networks.
      profile: the first and the last step of a trace.
    """
    published = PublishedParams(load_tiefenrausch(TIEFENRAUSCH), load_fast_depth())
    trunk = copied(published.world)  # its own buffers, which the step donates
    params = init_params(config.model, trunk, jax.random.key(config.seed))
    if init is not None:
        require_model(init, load_metadata(init), config.model)
        params, _ = load_params(init, params)
    state, summary = run_training(
        partial(train_step, config),
        start_at(first_state(config_optimizer(config), params)),
        partial(batches, config, published),
        config.training,
        out,
        run_record(config, init),
        frozen=(published.room,),
        reporting=Reporting(profile=profile),
    )
    weights = out / "depth.safetensors"
    save_params(weights, state.ema, {"model": to_dict(config.model)})
    errors = held_out_errors(config, {**state.ema, "rooms": published.room}, HELD_OUT)
    text = json.dumps({**summary, "held_out": errors}, indent=1)
    write_text(weights.with_suffix(".json"), text + "\n")
    print(f"wrote {weights} and {weights.with_suffix('.json')}; held out: {errors}")


def batches(
    config: DepthConfig, published: PublishedParams, start: int
) -> Iterator[tuple[Frames, Frames]]:
    """Return the batches from step `start` on: procedural and real frames, and their depth."""
    data = config.data
    rooms, rest = training_pictures(data)
    steps = grain.MapDataset.range(start, ENDLESS)
    options = grain.ReadOptions(num_threads=READERS, prefetch_buffer_size=2 * READERS)
    crops = iter(steps.map(partial(real_crops, config, rooms, rest)).to_iter_dataset(options))
    for step in itertools.count(start):
        with input_errors("config", "change data.photos or data.videos"):
            looks = looks_at(step, photos=data.photos, videos=data.videos, seed=config.seed)
            pictures, are_rooms = next(crops)
        yield (
            procedural_depth_batch(config, step, size_at(data, step), looks),
            real_batch(published, _key(config, step), jnp.asarray(pictures), are_rooms),
        )


def size_at(data: DepthDataConfig, step: int) -> Size:
    """Return the size of a step's frames."""
    return data.sizes[step // TURN % len(data.sizes)]


def real_crops(config: DepthConfig, rooms: RealPictures, rest: RealPictures, step: int) -> Pictures:
    """Read the real pictures of a step, and say which of them show rooms."""
    data = config.data
    rng = np.random.default_rng((config.seed, step))
    size = size_at(data, step)[1:]
    has_rooms = bool(rooms.photos or rooms.clips)
    are_rooms = (rng.uniform(size=config.training.batch) < data.roomy) & has_rooms
    crops = [(rooms if is_room else rest).draw(rng, size) for is_room in are_rooms]
    return np.stack(crops), are_rooms


@partial(jax.jit, static_argnums=(0, 2))
def procedural_depth_batch(
    config: DepthConfig,
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
def real_batch(
    published: PublishedParams,
    key: PRNGKeyArray,
    crops: Float[Array, "b h w 3"],
    are_rooms: Bool[Array, " b"],
) -> Frames:
    """Return real pictures, augmented, in [-1, 1], and the published depth of the originals."""
    world = log_disparity(published.world, 2 * crops - 1)
    room = fast_log_disparity(published.room, 2 * crops - 1)
    depth = jnp.exp(-jnp.where(are_rooms[:, None, None], room, world))
    return jax.vmap(augment)(jax.random.split(key, len(crops)), crops, depth)


def _key(config: DepthConfig, step: Integer[Array, ""] | int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(config.seed), step)


def train_step(
    config: DepthConfig, state: TrainState, batch: tuple[Frames, Frames], rooms: Params
) -> tuple[TrainState, Metrics]:
    """Take one step, a pure function; `rooms` is FastDepth, which stays."""
    (rendered, true_depth), (real, published_depth) = batch
    frames = jnp.concatenate([rendered, real])

    def objective(params: Params) -> tuple[Float[Array, ""], Metrics]:
        logs = log_depth(config.model, {**params, "rooms": rooms}, frames)
        truth = loss(logs[: len(rendered)], true_depth)
        anchor = anchor_loss(logs[len(rendered) :], published_depth)
        return truth + config.anchor * anchor, {"truth": truth, "anchor": anchor}

    grad = jax.value_and_grad(objective, has_aux=True)
    (value, parts), gradients = grad(state.params)
    state = apply_gradients(config_optimizer(config), config.optimizer.ema, state, gradients)
    return state, {"loss": value, **parts, "gradient_norm": optax.tree.norm(gradients)}


def anchor_loss(
    predicted: Float[Array, "b h w"], published_depth: Float[Array, "b h w"]
) -> Float[Array, ""]:
    """Return the module's loss of log depths of real pictures."""
    cells = partial(reduce, pattern="b (h i) (w j) -> b h w", reduction="mean", i=CELL, j=CELL)
    error = cells(predicted - jnp.log(published_depth))
    error = error - jnp.median(error, (1, 2), keepdims=True)
    return jnp.abs(error).mean() + depth_roughness(error, (1, 2))


def held_out_errors(config: DepthConfig, params: Params, scenes: int) -> dict[str, float]:
    """Return the mean `depth_errors` of frames of held-out scenes, of the first size."""
    network = DepthNetwork(config.model, params)
    size = config.data.sizes[0]

    def one(index: Integer[Array, ""]) -> Metrics:
        frames, depth = procedural_frames(index[None], size, config.data.worlds)
        return depth_errors(predict_depth(network, frames * 2 - 1), depth)

    errors = jax.jit(partial(jax.lax.map, one))(HELD_OUT_START + jnp.arange(scenes))
    return {name: round(float(values.mean()), 4) for name, values in errors.items()}


def procedural_frames(
    indices: Integer[Array, "b"],
    size: Size,
    worlds: DepthWorlds,
    looks: Looks = NO_PHOTOS,
) -> Frames:
    """Render one frame in [0, 1] and its depth per scene; antialiased if seen at fewer pixels."""
    rendered, height, width = size
    columns = round(width * rendered / height)

    def one(index: Integer[Array, ""]) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
        if worlds == "wide":
            frame, depth = wide_frame(index, looks=looks, height=rendered, width=columns)
        else:
            clip = procedural_scene(
                index,
                views=1,
                frames=1,
                height=rendered,
                width=columns,
                worlds=worlds,
                looks=looks,
            )
            frame = clip.frames[0, 0]
            depth = clip.depth[0, 0]
        frame = jax.image.resize(frame, (height, width, 3), "linear")
        return frame, jax.image.resize(depth, (height, width), "nearest")

    return jax.lax.map(one, indices)  # on CPU, the rays of one frame fit the cache
