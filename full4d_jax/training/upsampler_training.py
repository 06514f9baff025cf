"""Training of the upsampler on crops of rendered frames.

With e the difference of made and true frames, the loss is

    mean sqrt(e^2 + s^2) + mean e^2 / 2 + mean sqrt((differences of e)^2 + s^2)

where differences are those between neighbouring pixels along both axes and s = `SOFT` rounds the
absolute values off, plus `perceptual` times LPIPS from a share of the steps on. LPIPS counts where
the projection is at most `upsampler.DETAIL_DISTANCE` pixels away. Farther into holes nothing shows
the details, and what lowers LPIPS there is a pattern that is in no scene.
"""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.config import DEFAULT, to_dict
from full4d_jax.config.upsampler import UpsamplerConfig
from full4d_jax.generation.prior import open_prior
from full4d_jax.media.metrics import Distance, require_lpips
from full4d_jax.models.upsampler import Params, init_params, near, upsample
from full4d_jax.models.weights import load_metadata, load_params, require_model, save_params
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.estimate import load_depth
from full4d_jax.training.checkpoints.resume import run_record
from full4d_jax.training.clips.upsampler_pairs import Pair, batches, drawn_pairs
from full4d_jax.training.loop import Reporting, run_training
from full4d_jax.training.run_state import start_at
from full4d_jax.training.state import TrainState, apply_gradients, config_optimizer, first_state
from input_pipeline.footage import training_clips
from input_pipeline.whole_files import write_text

SOFT = 0.01  # rounds absolute errors off, in units of frames in [-1, 1]
SHIFT = 8  # pixels, the spacing of the coarsest grid of the U-Net
Metrics = dict[str, Float[Array, ""]]


def train_upsampler(
    config: UpsamplerConfig, out: Path, init: Path | None, profile: tuple[int, int] | None = None
) -> None:
    """Train to the last step and write `upsampler.safetensors` and `upsampler.json` to `out`.

    Args:
      config: the experiment.
      out: folder for everything.
      init: weights to start from.
      profile: the first and the last step of a trace.
    """
    key = jax.random.key(config.seed)
    params = init_params(config.model, key)
    if init is not None:
        require_model(init, load_metadata(init), config.model)
        params, _ = load_params(init, params)
    prior = open_prior(DEFAULT, Path(config.prior) if config.prior else None)
    distance = require_lpips("config.perceptual") if config.perceptual else None
    with input_errors("data.videos", "give another folder"):
        clips = training_clips(config.data.videos) if config.data.videos else []
    state, summary = run_training(
        partial(train_step, config),
        start_at(first_state(config_optimizer(config), params)),
        partial(batches, config, partial(drawn_pairs, config, prior, load_depth(), clips)),
        config.training,
        out,
        run_record(config, init),
        frozen=(distance,) if distance else (),
        reporting=Reporting(profile=profile),
    )
    weights = out / "upsampler.safetensors"
    save_params(
        weights,
        state.ema,
        {"model": to_dict(config.model), "prior_rows": config.data.prior_rows},
    )
    write_text(weights.with_suffix(".json"), json.dumps(summary, indent=1) + "\n")
    print(f"wrote {weights} and {weights.with_suffix('.json')}")


def train_step(
    config: UpsamplerConfig, state: TrainState, pair: Pair, distance: Distance | None = None
) -> tuple[TrainState, Metrics]:
    """Take one step, a pure function; `distance` is LPIPS where it counts in the loss."""
    late = state.step >= config.perceptual_from * config.training.steps

    def total(params: Params) -> tuple[Float[Array, ""], Metrics]:
        made = upsample(config.model, params, pair.guidance)
        value = loss(made, pair.truth, pair.counts)
        squares = pair.counts[..., None] * (made - pair.truth) ** 2
        error = squares.sum() / jnp.maximum(3 * pair.counts.sum(), 1)
        if distance is not None:
            shift = jax.random.fold_in(jax.random.key(config.seed), state.step)
            is_judged = near(pair.guidance.mask) * pair.counts
            judged = jnp.where(is_judged[..., None] > 0, made, pair.truth)
            pictures = shifted(shift, jnp.clip(judged / 2 + 0.5, 0, 1), pair.truth / 2 + 0.5)
            measure = partial(lambda distance, *x: distance(*x).mean(), distance)
            term = jax.lax.cond(late, measure, lambda *_: jnp.float32(0), *pictures)
            value += config.perceptual * term
        return value, {"loss": value, "psnr": -10 * jnp.log10(error / 4)}

    gradients, metrics = jax.grad(total, has_aux=True)(state.params)
    state = apply_gradients(config_optimizer(config), config.optimizer.ema, state, gradients)
    return state, metrics | {"gradient_norm": optax.tree.norm(gradients)}


def shifted(key: PRNGKeyArray, *pictures: Float[Array, "b h w 3"]) -> list[Array]:
    """Cut a random margin of `SHIFT` rows and columns in all off the pictures.

    Upsampler and LPIPS both work on regular grids. Were these always aligned, dots at the points of
    the grid would lower LPIPS without looking better.
    """
    top, left = jax.random.randint(key, (2,), 0, SHIFT + 1)
    size = tuple(side - SHIFT for side in pictures[0].shape[1:3])

    def cut(picture: Float[Array, "b h w 3"]) -> Float[Array, "b i j 3"]:
        shape = (len(picture), *size, 3)
        return jax.lax.dynamic_slice(picture, (0, top, left, 0), shape)

    return [cut(picture) for picture in pictures]


def loss(
    made: Float[Array, "b h w 3"], truth: Float[Array, "b h w 3"], counts: Float[Array, "b h w"]
) -> Float[Array, ""]:
    """Return the module's loss without LPIPS; `counts` is 1 for pixels that count, else 0.

    Where it is 0 the error is 0, also in the differences of neighbours.
    """
    error = counts[..., None] * (made - truth)

    def soft(x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sqrt(x**2 + SOFT**2).mean()

    edges = soft(jnp.diff(error, axis=1)) + soft(jnp.diff(error, axis=2))
    return soft(error) + (error**2).mean() / 2 + edges / 2
