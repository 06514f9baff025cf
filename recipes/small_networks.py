"""Shared by the trainings of the small networks: their start, their optimizer, their files."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from full4d_jax.config import OptimizerConfig, TrainingConfig, to_dict
from full4d_jax.media.metrics import Distance, load_lpips
from full4d_jax.models.functional import Params
from full4d_jax.models.weights import load_params, require_model, save_params
from full4d_jax.session.errors import input_errors
from full4d_jax.training.bad_losses import Step
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.optimizer import make_optimizer
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import (
    TrainState,
    apply_gradients,
    first_state,
)
from full4d_jax.training.training_loop import run_training
from input_pipeline.loader import ENDLESS
from input_pipeline.whole_files import write_text

Metrics = dict[str, Float[Array, ""]]
# Pixels, the spacing of the coarsest grid of the U-Nets.
LPIPS_SHIFT = 8


@dataclass(frozen=True)
class Settings:
    """Options that every recipe has; each adds its own, and its defaults for these."""

    model: Any
    """Sizes of the network."""
    optimizer: OptimizerConfig
    training: TrainingConfig
    seed: int = 0
    """Seed of everything that is drawn."""
    photos: str = ""
    """Folder of photographs; every fifth by name is held out."""
    videos: str = ""
    """Folder of videos; every fifth by name is held out."""


def run(
    settings: Settings,
    out: Path,
    init: Path | None,
    params: Params,
    step: Step,
    batches: Callable[[int], Iterator[Any]],
    frozen: Sequence[Any] = (),
) -> tuple[Params, dict[str, Any]]:
    """Train to the last step; return the averaged parameters and the summary of the run.

    Args:
      settings: the options.
      out: folder for checkpoints and metrics; a run that was stopped there goes on.
      init: weights to start from instead of `params`.
      params: initial parameters, whose buffers are used up.
      step: (state, batch, *frozen) -> (state, metrics).
      batches: gives the batches from a step on.
      frozen: further arguments of every step.
    """
    if init is not None:
        require_model(init, settings.model)
        params = load_params(init, params)
    out.mkdir(parents=True, exist_ok=True)
    start = start_at(first_state(optimizer_of(settings), params))
    record = run_record(settings, init)
    state, summary = run_training(
        step, start, batches, settings.training, out, record, frozen
    )
    return state.ema, summary


def optimizer_of(settings: Settings) -> optax.GradientTransformation:
    """Return the optimizer that the settings ask for."""
    return make_optimizer(settings.optimizer, settings.training.steps)


def descend(
    settings: Settings,
    state: TrainState,
    objective: Callable[[Params], tuple[Array, Metrics]],
) -> tuple[TrainState, Metrics]:
    """Take one step down an objective, which returns its value and metrics."""
    gradients, metrics = jax.grad(objective, has_aux=True)(state.params)
    optimizer = optimizer_of(settings)
    state = apply_gradients(optimizer, settings.optimizer.ema, state, gradients)
    return state, metrics | {"gradient_norm": optax.tree.norm(gradients)}


def made_ahead(make: Callable[[int], Any], start: int) -> Iterator[Any]:
    """Yield `make(step)` from step `start` on, by several threads, each of which makes one step's.

    Raises:
      InputError: a picture cannot be used.
    """
    readers = 16
    options = grain.ReadOptions(num_threads=readers, prefetch_buffer_size=2 * readers)
    steps = grain.MapDataset.range(start, ENDLESS)
    made = iter(steps.map(make).to_iter_dataset(options))
    while True:
        with input_errors("config", "change --photos or --videos"):
            pictures = next(made)
        yield pictures


def write_network(
    weights: Path, params: Params, model: Any, summary: dict[str, Any], **metadata: Any
) -> None:
    """Write the weights, and the summary of their training beside them."""
    save_params(weights, params, {"model": to_dict(model), **metadata})
    write_text(weights.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {weights.with_suffix('.json')}")


def frozen_lpips(settings: Any) -> tuple[Distance, ...]:
    """Return LPIPS, if it counts in the loss."""
    return (load_lpips("perceptual"),) if settings.perceptual else ()


def late_lpips(
    settings: Any,
    step: Int[Array, ""],
    distance: Distance,
    made: Float[Array, "b h w 3"],
    truth: Float[Array, "b h w 3"],
) -> Float[Array, ""]:
    """Return the weighed mean LPIPS of shifted pictures in [0, 1]; 0 before `perceptual_from`.

    Network and LPIPS both work on regular grids. Were these always aligned, dots at the points of
    the grid would lower LPIPS without looking better. So a random margin of `LPIPS_SHIFT` rows and
    columns in all is cut off.
    """
    is_late = step >= settings.perceptual_from * settings.training.steps
    key = jax.random.fold_in(jax.random.key(settings.seed), step)
    top, left = jax.random.randint(key, (2,), 0, LPIPS_SHIFT + 1)
    height, width = (side - LPIPS_SHIFT for side in made.shape[1:3])

    def cut(picture: Float[Array, "b h w 3"]) -> Float[Array, "b i j 3"]:
        shape = (len(picture), height, width, 3)
        return jax.lax.dynamic_slice(picture, (0, top, left, 0), shape)

    measure = partial(lambda distance, *x: distance(*x).mean(), distance)
    term = jax.lax.cond(
        is_late, measure, lambda *_: jnp.float32(0), cut(made), cut(truth)
    )
    return settings.perceptual * term
