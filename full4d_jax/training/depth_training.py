"""Training of the depth network on procedural frames, rendered for each step.

The loss is `depth_loss`, and `depth_augmentation` says what happens to the frames. Crops of
photos on surfaces, and people cut out of videos, come from `input_pipeline.procedural.looks`.
"""

import itertools
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, PRNGKeyArray
from optax.contrib import MuonDimensionNumbers

from full4d_jax.config import to_dict
from full4d_jax.config.depth import DepthConfig, DepthWorlds, Size
from full4d_jax.models.depth_net import Params, init_params, log_depth
from full4d_jax.models.weights import load_metadata, load_params, require_model, save_params
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.estimate import DepthNetwork, depth_errors, predict_depth
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.depth_augmentation import augment
from full4d_jax.training.depth_loss import loss
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.optimizer import make_optimizer
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import TrainState, apply_gradients, first_state
from input_pipeline.procedural.looks import NO_PHOTOS, Looks, looks_at
from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene
from input_pipeline.procedural.wide_scene import wide_frame
from input_pipeline.whole_files import write_text

BASE = 64  # pixels per side of frames when a step has `training.batch` of them
SCENES_OF_A_SEED = 2**24  # another seed sees other scenes
HELD_OUT = 256  # frames that the summary's errors are means of
MOST = 4  # largest number of frames of a step / `training.batch`
Frames = tuple[Float[Array, "b h w 3"], Float[Array, "b h w"]]
Metrics = dict[str, Float[Array, ""]]


def train_depth(
    config: DepthConfig, out: Path, init: Path | None, profile: tuple[int, int] | None = None
) -> None:
    """Train to the last step and write `depth.safetensors` and `depth.json` to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights to start from.
      profile: the first and the last step of a trace.
    """
    key = jax.random.key(config.seed)
    if init is None:
        state = init_state(config, key)
    else:
        like = jax.eval_shape(partial(init_params, config.model), key)
        require_model(init, load_metadata(init), config.model)
        params, _ = load_params(init, like)
        state = first_state(optimizer(config), params)
    state, summary = run_training(
        partial(train_step, config),
        start_at(state),
        partial(batches, config),
        config.training,
        out,
        run_record(config, init),
        reporting=Reporting(profile=profile),
    )
    weights = out / "depth.safetensors"
    save_params(weights, state.ema, {"model": to_dict(config.model)})
    errors = held_out_errors(config, state.ema, scenes=HELD_OUT)
    summary = {**summary, "held_out": errors}
    write_text(weights.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {weights.with_suffix('.json')}; held out: {errors}")


def init_state(config: DepthConfig, key: PRNGKeyArray) -> TrainState:
    """Return step 0 with random parameters."""
    return first_state(optimizer(config), init_params(config.model, key))


def optimizer(config: DepthConfig) -> optax.GradientTransformation:
    """Return Muon on linear maps and convolutions, AdamW on the rest."""
    return make_optimizer(config.optimizer, config.training.steps, kernels_as_matrices)


def kernels_as_matrices(params: Any) -> Any:
    """Return Muon's dimensions, (..., in) to out; blocks are stacked on their first axis."""

    def dimensions(path: tuple, x: Array) -> MuonDimensionNumbers | None:
        first = 1 if path[0].key == "blocks" else 0
        inputs = tuple(range(first, x.ndim - 1))
        return MuonDimensionNumbers(inputs, x.ndim - 1) if inputs else None

    return jax.tree.map_with_path(dimensions, params)


def batches(config: DepthConfig, start: int) -> Iterator[Frames]:
    """Return the batches from step `start` on; their sizes take turns."""
    early = config.training.steps * (1 - config.optimizer.decay_share)
    data = config.data
    for step in itertools.count(start):
        with input_errors("config", "change data.photos or data.videos"):
            looks = looks_at(step, photos=data.photos, videos=data.videos, seed=config.seed)
        sizes = data.early_sizes if step < early else data.sizes
        yield batch(config, step, sizes[step % len(sizes)], looks)


@partial(jax.jit, static_argnums=(0, 2))
def batch(
    config: DepthConfig,
    step: Integer[Array, ""] | int,
    size: Size,
    looks: Looks = NO_PHOTOS,
) -> Frames:
    """Render the frames of one step, augmented, in [-1, 1], and their depth."""
    _, height, width = size
    most = config.training.batch * MOST
    count = min(max(1, round(config.training.batch * BASE**2 / (height * width))), most)
    first = jnp.uint32(config.seed) * SCENES_OF_A_SEED + jnp.uint32(step) * most
    indices = (first + jnp.arange(count, dtype=jnp.uint32)) % config.data.scenes
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step), count)
    return jax.vmap(augment)(keys, *procedural_frames(indices, size, config.data.worlds, looks))


def train_step(
    config: DepthConfig, state: TrainState, frames_and_depth: Frames
) -> tuple[TrainState, Metrics]:
    """Take one step; a pure function."""
    frames, depth = frames_and_depth
    value, gradients = jax.value_and_grad(
        lambda params: loss(log_depth(config.model, params, frames), depth)
    )(state.params)
    state = apply_gradients(optimizer(config), config.optimizer.ema, state, gradients)
    return state, {"loss": value, "gradient_norm": optax.tree.norm(gradients)}


def held_out_errors(config: DepthConfig, params: Params, scenes: int) -> dict[str, float]:
    """Return the mean `depth_errors` of square 64-pixel frames of held-out scenes."""
    network = DepthNetwork(config.model, params)

    def one(index: Integer[Array, ""]) -> Metrics:
        frames, depth = procedural_frames(index[None], (BASE, BASE, BASE), config.data.worlds)
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
