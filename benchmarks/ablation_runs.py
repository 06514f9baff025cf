"""Training and scoring of the rows of `ablations.py` that small networks are trained for.

All rows of a group see the same clips in the same order and are scored on the same held-out scenes,
so that every difference is paired by seed and scene. A seed decides the initial parameters and the
order of the scenes.

A row is scored by numbers for every scene, PSNR in dB over frames that are not given:

    psnr      one call from zero noise
    hard      the same on hard pixels: in `frames` mode those that no single-frame projection
              reaches, without projection those that the nearest real frame has otherwise
    denoised  hard pixels of one call at flow time .7 of the truth with noise

and by how well the views of `psnr` agree with each other (`ablation_consistency`):

    apart     difference of two views where they show the same points, as PSNR
    matched   percent of points that are found again in the other view
    above     the same, less what is found in the other view of another scene, by chance
"""

import json
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ablation_consistency import consistency
from common import keep_results, read_results
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.config import Config, DataConfig, to_dict
from full4d_jax.flow import interpolate
from full4d_jax.generation.batch import Batch, make_conditions, procedural_batch
from full4d_jax.generation.real_frames import conditions_of_real, row_and_column
from full4d_jax.geometry.depth_edges import EDGE, drop_depth_edges
from full4d_jax.models.codecs.codec import make_codec
from full4d_jax.models.conditions import Params
from full4d_jax.models.dit import velocity
from full4d_jax.models.flops import forward_flops
from full4d_jax.models.start import start_from
from full4d_jax.models.weights import load_metadata, load_params, save_params
from full4d_jax.session.progress import Progress
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth
from full4d_jax.training.optimizer import trained_leaves
from full4d_jax.training.state import TrainState, init_state, state_from_params
from full4d_jax.training.step import train_step
from input_pipeline.loader import make_loader
from input_pipeline.procedural.scene import HELD_OUT_START, ProceduralClip, procedural_scene

SCORES = ("psnr", "hard", "denoised", "apart", "matched", "above")
TAU = 0.7  # of `denoised`
HERE = Path(__file__).resolve().parent
CHANGED = 0.1  # of the range: more makes a pixel hard without projection
WIDE = 30.0, 60.0  # degrees from the source to the targets, where depth is estimated


class Run(NamedTuple):
    """One row, trained from several seeds."""

    scores: Float[np.ndarray, "seeds scenes scores"]  # as SCORES; NaN where no pixel is hard
    cost: dict[str, float]


def run(config: Config, folder: Path, init: Path | None, seeds: int, scenes: int) -> Run:
    """Train and score a row for every seed, as far as an earlier call has not done so.

    Weights that it left are scored again where there are other scores now, or more scenes.
    """
    records = []
    row = Row(config, init)
    start = None if init is None else load_metadata(init)
    described = json.dumps(to_dict(config) | {"init": start})
    wanted = json.loads(described.replace(f"{HERE}/", ""))  # where masks lie says nothing
    for seed in range(seeds):
        path = folder / f"{config.name.replace(' ', '_')}_{seed}.json"
        weights = path.with_suffix(".safetensors")
        done = read_results(path)
        if done.get("config") != wanted or not weights.exists():
            params, seconds = row.train(seed)
            save_params(weights, params, {"config": wanted})
            done = {"config": wanted, "cost": row.cost() | {"seconds_per_step": seconds}}
        if done.get("scored") != list(SCORES) or len(done["scores"]) < scenes:
            params, _ = load_params(weights)
            done |= {"scored": SCORES, "scores": row.score(params, scenes)}
            keep_results(path, done)
        records.append(done)
    scores = np.array([done["scores"][:scenes] for done in records], float)
    work = forward_flops(config, config.data.views, config.data.frames)
    return Run(scores, records[0]["cost"] | {"gigaflop": work / 1e9})


def train_base(config: Config, path: Path) -> Path:
    """Weights that rows start from, trained unless they are there."""
    wanted = json.loads(json.dumps({"config": to_dict(config)}))
    if not path.exists() or load_metadata(path) != wanted:
        params, _ = Row(config, None).train(0)
        save_params(path, params, wanted)
    return path


class Row:
    """The programs of one configuration, compiled when they are first needed, for all seeds."""

    def __init__(self, config: Config, init: Path | None):
        self.config = config
        self.init = init
        self._step: Any = None
        self._score = jax.jit(partial(score_clips, config))

    def train(self, seed: int) -> tuple[Params, float]:
        """Averaged parameters, and the median CPU seconds of a step."""
        config = self.config
        key = jax.random.key(seed)
        if self.init is None:
            state = init_state(config, key)
        else:
            state = state_from_params(config, start_from(config.model, self.init, key))
        batches = clips_of(config.data, config.training.batch, seed)
        self._step = self._step or self._compile(state, next(batches))
        seconds = []
        steps = config.training.steps
        with Progress(f"{config.name}, seed {seed}", steps) as report:
            for done in range(1, steps + 1):
                batch = jax.block_until_ready(next(batches))
                start = time.process_time()
                state, metrics = self._step(state, batch)
                jax.block_until_ready(state)
                seconds.append(time.process_time() - start)
                report(done, {"mean_error": float(metrics["mean_error"])})
        return state.ema, float(np.median(seconds))

    def _compile(self, state: TrainState, batch: Batch):
        step = jax.jit(train_step(self.config), donate_argnums=0)
        return step.lower(state, batch).compile()

    def cost(self) -> dict[str, float]:
        """Return the cost of the network and of a training step."""
        state = jax.eval_shape(lambda: init_state(self.config, jax.random.key(0)))
        trained = trained_leaves(self.config.optimizer.trainable, state.params)
        leaves = list(zip(jax.tree.leaves(state.params), jax.tree.leaves(trained), strict=True))
        return {
            "parameters": sum(x.size for x, _ in leaves),
            "trained": sum(x.size for x, is_trained in leaves if is_trained),
            "temporary_bytes": self._step.memory_analysis().temp_size_in_bytes,
        }

    def score(self, params: Params, scenes: int) -> list[list[float]]:
        """SCORES of each held-out scene."""
        data = rendered_part(self.config.data)
        clips = held_out_batch(data, scenes)
        depth = held_out_depth(data, scenes)
        keys = jax.vmap(jax.random.key)(jnp.arange(scenes))
        scores = self._score(params, clips, depth, keys)
        return np.asarray(scores, float).tolist()


def rendered_part(data: DataConfig) -> DataConfig:
    """Return the fields that decide the pictures; rows that differ in others share a renderer."""
    names = ("views", "frames", "height", "width", "orbit", "worlds", "estimated")
    return DataConfig(**{name: getattr(data, name) for name in names})


@cache
def batch_renderer(data: DataConfig) -> Callable[[Any], Batch]:
    """Compiled once a shape."""
    if data.estimated:
        return jax.jit(partial(wide_batch, data, load_depth()))
    return jax.jit(partial(procedural_batch, config=data))


def wide_batch(data: DataConfig, network: DepthNetwork, indices: Int[Array, "b"]) -> Batch:
    """Scenes seen from far to the sides, with the source's depth as our network estimates it."""

    def one(index: Int[Array, ""]) -> Batch:
        clip = scene_of(data, index)
        frames = clip.frames * 2 - 1
        depth = drop_depth_edges(estimate_depth(network, frames[0]), EDGE)
        return Batch(frames, depth, clip.intrinsics, clip.world_to_camera)

    return jax.lax.map(one, indices)


def scene_of(data: DataConfig, index: Int[Array, ""]) -> ProceduralClip:
    """Return the scene of this number; where depth is estimated, targets stand far to the sides."""
    azimuths = None
    if data.estimated:
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), index))
        sizes = jax.random.uniform(keys[0], (data.views - 1,), minval=WIDE[0], maxval=WIDE[1])
        to_the_left = jax.random.bernoulli(keys[1], shape=sizes.shape)
        azimuths = jnp.where(to_the_left, -sizes, sizes)
    return procedural_scene(
        index,
        views=data.views,
        frames=data.frames,
        height=data.height,
        width=data.width,
        azimuths=azimuths,
        orbit=data.orbit,
        worlds=data.worlds,
    )


def clips_of(data: DataConfig, batch: int, seed: int) -> Iterator[Batch]:
    """Batches of training scenes in the order of the seed."""
    return map(
        batch_renderer(rendered_part(data)),
        make_loader(range(data.scenes), seed=seed, batch_size=batch),
    )


@cache
def held_out_batch(data: DataConfig, scenes: int) -> Batch:
    """Scenes beyond every training index."""
    return batch_renderer(data)(HELD_OUT_START + jnp.arange(scenes))


@cache
def held_out_depth(data: DataConfig, scenes: int) -> Float[Array, "b v t h w"]:
    """Return the true depth of all views of `held_out_batch`."""
    numbers = HELD_OUT_START + jnp.arange(scenes)
    return jax.jit(partial(jax.lax.map, lambda index: scene_of(data, index).depth))(numbers)


def score_clips(
    config: Config, params: Params, clips: Batch, depth: Float[Array, "b v t h w"], keys: Array
) -> Float[Array, "b scores"]:
    """SCORES of clips whose true depth is `depth`; chance is measured with the clip before."""
    guesses = jax.lax.map(lambda x: guess(config, params, *x), (clips, keys))
    previous = jnp.roll(guesses.once, 1, 0)
    return jax.lax.map(lambda x: score_clip(*x), (guesses, clips, depth, previous))


class Guess(NamedTuple):
    """What a network makes of a clip, and the pixels on which it is scored."""

    once: Float[Array, "*b v t h w 3"]
    """One call from zero noise."""
    cleaned: Float[Array, "*b v t h w 3"]
    """One call from the truth with noise."""
    counted: Bool[Array, "*b v t h w"]
    """Pixels that are not given."""
    hard: Bool[Array, "*b v t h w"]
    """As `hard` of the scores."""


def guess(config: Config, params: Params, clip: Batch, key: Array) -> Guess:
    """Return what the network makes of one clip without batch axis."""
    model = config.model
    codec = make_codec(config.model, None)
    truth = codec.encode(clip.frames)
    if not model.needs_cameras:
        views, frames = clip.cameras.world_to_camera.shape[:2]
        real = row_and_column(views, frames)
        cameras = jax.tree.map(lambda x: x[None], clip.cameras)
        conditions = conditions_of_real(truth[None], jnp.asarray(real)[None], cameras)
        copied = codec.decode(conditions.base[0])
        hard = (jnp.abs(clip.frames - copied).max(-1) > 2 * CHANGED) & ~real[..., None, None]
        counted = jnp.broadcast_to(~real[..., None, None], hard.shape)
    else:
        known = clip.depth * (config.data.drop_projection < 1)
        source = clip.frames[:1]
        conditions, _ = make_conditions(model, source, known[None], clip.cameras)
        conditions = jax.tree.map(lambda x: x[None], conditions)
        _, seen = make_conditions(model, source, clip.depth[None], clip.cameras)
        hard = jnp.concatenate([jnp.zeros((1, *seen.mask.shape[1:]), bool), seen.mask == 0])
        counted = jnp.ones(hard.shape, bool).at[0].set(False)

    flow = partial(velocity(model, params), conditions=conditions)
    noise = jax.random.normal(key, (1, *truth.shape))
    noisy = interpolate(truth[None], noise, jnp.full(1, TAU))
    once = -flow(jnp.zeros_like(noise), jnp.ones(1))
    if conditions.real is not None:  # real pixels do not move
        once = jnp.where(conditions.real[..., None, None, None], truth[None], once)
    cleaned = noisy - TAU * flow(noisy, jnp.full(1, TAU))
    return Guess(codec.decode(once[0]), codec.decode(cleaned[0]), counted, hard)


def score_clip(
    made: Guess,
    clip: Batch,
    depth: Float[Array, "v t h w"],
    other: Float[Array, "v t h w 3"],
) -> Float[Array, "scores"]:
    """SCORES of one clip; `other` is the `once` of another."""
    near = [psnr_on(made.once, clip.frames, made.counted)]
    near += [psnr_on(x, clip.frames, made.hard) for x in (made.once, made.cleaned)]
    agreed = consistency(made.once, clip.frames, depth, clip.cameras, made.counted, other)
    return jnp.concatenate([jnp.stack(near), agreed])


def psnr_on(
    frames: Float[Array, "v t h w 3"],
    truth: Float[Array, "v t h w 3"],
    mask: Bool[Array, "v t h w"],
) -> Float[Array, ""]:
    """Return PSNR of frames in [-1, 1] on the pixels of the mask; NaN without any."""
    error = jnp.square((jnp.clip(frames, -1, 1) - truth) / 2).mean(-1)
    return -10 * jnp.log10((error * mask).sum() / mask.sum())
