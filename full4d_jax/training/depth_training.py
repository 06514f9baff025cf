"""Training of the depth network on procedural frames, rendered for each step.

The loss is scale-invariant. With e = d - median(d) - log z, where d is the network's output and z
true depth in units of its own median, it is the mean of |e| and of the relative error |exp(e) - 1|
(what is near matters most for parallax), plus mean |differences of e| between neighbours 1, 2 and
4 pixels apart (flat walls, sharp edges).
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
from full4d_jax.config.depth import DepthConfig
from full4d_jax.models.depth_net import Params, init_params, log_depth
from full4d_jax.models.weights import load_metadata, load_params, require_model, save_params
from full4d_jax.source.depth.estimate import DepthNetwork, depth_errors, predict_depth
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.optimizer import make_optimizer
from full4d_jax.training.state import TrainState, apply_gradients, first_state
from input_pipeline.procedural.scene import HELD_OUT_START, Worlds, procedural_scene

NEAREST, FARTHEST = 0.05, 20.0  # depths are clipped to this range
BASE = 64  # pixels per side of frames when a step has `training.batch` of them
SCENES_OF_A_SEED = 2**24  # another seed sees other scenes
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
        state,
        partial(batches, config),
        config.training,
        out,
        run_record(config, init),
        reporting=Reporting(profile=profile),
    )
    weights = out / "depth.safetensors"
    save_params(weights, state.ema, {"model": to_dict(config.model)})
    errors = held_out_errors(config, state.ema, scenes=256)
    summary = {**summary, "held_out": errors}
    weights.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n")
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
    for step in itertools.count(start):
        sizes = config.data.early_sizes if step < early else config.data.sizes
        yield batch(config, step, *sizes[step % len(sizes)])


@partial(jax.jit, static_argnums=(0, 2, 3))
def batch(config: DepthConfig, step: Integer[Array, ""] | int, rendered: int, seen: int) -> Frames:
    """Render the frames of one step, augmented, in [-1, 1], and their depth."""
    count = max(1, round(config.training.batch * BASE / seen))
    stride = config.training.batch * MOST  # no two steps share a scene
    first = jnp.uint32(config.seed) * SCENES_OF_A_SEED + jnp.uint32(step) * stride
    indices = (first + jnp.arange(count, dtype=jnp.uint32)) % config.data.scenes
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), step), count)
    return jax.vmap(augment)(keys, *procedural_frames(indices, rendered, seen, config.data.worlds))


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


def loss(predicted: Float[Array, "b h w"], depth: Float[Array, "b h w"]) -> Float[Array, ""]:
    """Return the module's loss of log depths, given true depths."""
    sparse = predicted[:, ::4, ::4]  # a sixteenth of the pixels gives nearly the same median
    median = jnp.median(sparse, (1, 2), keepdims=True)
    error = predicted - median - jnp.log(jnp.clip(depth, NEAREST, FARTHEST))
    relative = jnp.abs(jnp.expm1(jnp.minimum(error, 1.0)))  # linear beyond a factor e
    total = 0.5 * (jnp.abs(error) + relative).mean()
    for k in (1, 2, 4):
        down, right = error[:, k:] - error[:, :-k], error[:, :, k:] - error[:, :, :-k]
        total += (jnp.abs(down).mean() + jnp.abs(right).mean()) / 6
    return total


def held_out_errors(config: DepthConfig, params: Params, scenes: int) -> dict[str, float]:
    """Return the mean `depth_errors` of 64-pixel frames of held-out scenes."""
    network = DepthNetwork(config.model, params)

    def one(index: Integer[Array, ""]) -> Metrics:
        frames, depth = procedural_frames(index[None], BASE, BASE, config.data.worlds)
        return depth_errors(predict_depth(network, frames * 2 - 1), depth)

    errors = jax.jit(partial(jax.lax.map, one))(HELD_OUT_START + jnp.arange(scenes))
    return {name: round(float(values.mean()), 4) for name, values in errors.items()}


def procedural_frames(
    indices: Integer[Array, "b"], rendered: int, seen: int, worlds: Worlds
) -> Frames:
    """Render one frame in [0, 1] and its depth per scene; antialiased if `seen` < `rendered`."""

    def one(index: Integer[Array, ""]) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
        draw = partial(procedural_scene, views=1, frames=1, worlds=worlds)
        clip = draw(index, height=rendered, width=rendered)
        frame = jax.image.resize(clip.frames[0, 0], (seen, seen, 3), "linear")
        return frame, jax.image.resize(clip.depth[0, 0], (seen, seen), "nearest")

    return jax.lax.map(one, indices)  # on CPU, the rays of one frame fit the cache


def augment(
    key: PRNGKeyArray, frame: Float[Array, "h w 3"], depth: Float[Array, "h w"]
) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
    """Change colours, light, sharpness and noise at random, and mirror; return [-1, 1]."""
    swap, light, mix, noise, mirror = jax.random.split(key, 5)
    frame = jax.random.permutation(swap, frame, axis=-1)
    gain, contrast, *tint = jnp.exp(0.2 * jax.random.normal(light, (5,)))
    frame = (frame - frame.mean()) * contrast + frame.mean() * gain
    frame = frame * (1 + 0.3 * (jnp.stack(tint) - 1)).reshape(1, 1, 3)
    softness, strength = jax.random.uniform(mix, (2,))
    frame = frame + jnp.maximum(2 * softness - 1, 0) * (blur(frame) - frame)
    frame = frame + 0.06 * strength**2 * jax.random.normal(noise, frame.shape)
    is_mirrored = jax.random.bernoulli(mirror)
    frame = jnp.where(is_mirrored, frame[:, ::-1], frame)
    depth = jnp.where(is_mirrored, depth[:, ::-1], depth)
    return jnp.clip(frame, 0, 1) * 2 - 1, depth


def blur(frame: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Blur with a binomial 3x3 kernel and repeated edges."""
    x = jnp.pad(frame, ((1, 1), (1, 1), (0, 0)), "edge")
    x = 0.25 * x[:-2] + 0.5 * x[1:-1] + 0.25 * x[2:]
    return 0.25 * x[:, :-2] + 0.5 * x[:, 1:-1] + 0.25 * x[:, 2:]
