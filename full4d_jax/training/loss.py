"""The loss of a training step: flow matching, and what joins it.

With data x, noise eps and a flow time tau for each clip,

    z = (1 - tau) x + tau eps        u = eps - x        L = |v(z, tau) - u|^2

`encoding.encode_clips` makes x and the conditions of clips, `draw_times` and `draw_point` make tau,
eps and z, the network says v, and `weigh` returns one loss for each clip. Clips at tau = 1 from
zero noise learn the mean of the data by `regression`. Where adapters learn to take few steps
(`flow.segments`), `few_steps` gives the flow times and u. `flow.perceptual` adds LPIPS of decoded
clips. A loss of yours takes the place of all this (`Loss`, `examples/own_loss.py`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.config import Config, FlowConfig, Residual
from full4d_jax.flow import Latents
from full4d_jax.generation.batch import EncodedBatch
from full4d_jax.models.codec import make_codec
from full4d_jax.models.dit import dit
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.dit.parametrisations import Predicted, deviation
from full4d_jax.models.functional import Params
from full4d_jax.training import few_steps
from full4d_jax.training.encoding import (
    NOTHING_FROZEN,
    Clips,
    Frozen,
    Keys,
    draw_per_clip,
    encode_clips,
    split_keys,
    whole_batch,
)
from full4d_jax.training.microbatch import Microbatch
from full4d_jax.training.regression import motion_error, perceptual, regression

Metrics = dict[str, Float[Array, "..."]]
PerClip = Float[Array, "b"]
Network = Callable[..., Predicted]
# The network (z, tau, conditions) -> Predicted, the clips, and one key for each, to losses of each.
Loss = Callable[[Network, EncodedBatch, PRNGKeyArray], PerClip]


class FlowPoint(NamedTuple):
    """One point of each clip's path from data to noise.

    Attributes:
      z: (1 - tau) data + tau noise.
      noise: zero for clips that train the mean; equal to the data in real frames.
      tau: flow time.
      is_mean: which clips train the conditional mean, at tau = 1.
      hidden: 1 for frames that are generated, which alone count in the loss.
    """

    z: Latents
    noise: Latents
    tau: PerClip
    is_mean: Bool[Array, "b"]
    hidden: flow.PerFrame


class Prediction(NamedTuple):
    """The network's velocity and its target, and the latents that each leads to at tau = 0.

    Motion is that of the base, in networks that move it.
    """

    velocity: Latents
    target: Latents
    predicted: Latents
    data: Latents
    motion: Float[Array, "b v t h w 2"] | None = None


def loss(
    config: Config,
    params: Params,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen = NOTHING_FROZEN,
    part: Microbatch | None = None,
    *,
    attend: Attend | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Return the mean loss of a batch, and metrics; of a `part`, its shares in the whole batch's.

    Args:
      config: the experiment.
      params: of the network.
      batch: the clips.
      key: all randomness; each clip's is its own, by its place in the batch.
      frozen: what training does not change.
      part: which clips of a larger batch these are.
      attend: in place of `fused_attention`.
    """
    part = part or whole_batch(batch)
    keys = split_keys(key)
    clips = encode_clips(config, batch, keys, frozen, part)
    network = dit.prediction(config.model, params, attend)
    if config.flow.segments:
        shift = config.sampler.shift
        times = few_steps.draw_segments(keys.times, part, config.flow.segments, shift)
        is_mean = jnp.zeros(len(times.tau), bool)
        point = draw_point(clips, keys, part, times.tau, is_mean)
        student, target = few_steps.student_and_target(
            config, params, clips.conditions, point.z, times, frozen.negative, attend
        )
        prediction = compare(point, student, target)
    else:
        tau, is_mean = draw_times(config.flow, keys, part)
        point = draw_point(clips, keys, part, tau, is_mean)
        prediction = predict(network, clips, point)
    losses = weigh(config, clips, point, prediction)
    # Clips of the whole batch that train the mean; they come first.
    means = round(config.flow.mean_share * part.size)
    metrics = report(losses, point, prediction, means, part)
    if frozen.distance is None:
        return metrics["loss"], metrics
    codec = make_codec(config.model, frozen.codec_weights)
    pair = (prediction.predicted, prediction.data)
    term = perceptual(codec, frozen.distance, pair, means, part)
    total = metrics["loss"] + config.flow.perceptual * term * means / part.size
    return total, {**metrics, "loss": total, "perceptual": term}


def own_loss(
    own: Loss,
    config: Config,
    params: Params,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen,
    part: Microbatch,
    *,
    attend: Attend | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Return the mean of a loss of yours in place of `loss`; other arguments are its own.

    Fields of `config.flow` have no effect on it. Sampling starts from noise only with
    `sampler.noise` above 0, which a loss needs that never trains from zero noise.
    """
    keys = split_keys(key)
    clips = encode_clips(config, batch, keys, frozen, part)
    network = dit.prediction(config.model, params, attend)
    of_clips = jax.vmap(lambda i: jax.random.fold_in(keys.noise, i))(part.places)
    losses = own(network, clips, of_clips)
    metrics = {"loss": losses.mean() * (len(losses) / part.size)}
    return metrics["loss"], metrics


def draw_times(
    config: FlowConfig, keys: Keys, part: Microbatch
) -> tuple[PerClip, Bool[Array, "b"]]:
    """Draw a flow time for each clip, and say which clips train the mean, at tau = 1."""
    drawn = flow.sample_time(
        keys.times, part.size, shift=config.shift, mean_share=config.mean_share
    )
    tau, is_mean = map(part.take, drawn)
    return tau, is_mean


def draw_point(
    clips: EncodedBatch,
    keys: Keys,
    part: Microbatch,
    tau: PerClip,
    is_mean: Bool[Array, "b"],
) -> FlowPoint:
    """Draw noise for each clip, zero for those that train the mean, and go to tau."""
    data = clips.latents
    noise = draw_per_clip(jax.random.normal, keys.noise, part, *data.shape[1:])
    noise = flow.bcast(jnp.where(is_mean, 0.0, 1.0), data) * noise
    return flow_point(clips, noise, tau, is_mean)


def flow_point(
    clips: EncodedBatch, noise: Latents, tau: PerClip, is_mean: Bool[Array, "b"]
) -> FlowPoint:
    """Return the point of each clip's path at tau; real frames are the data at every flow time."""
    data = clips.latents
    real = clips.conditions.real
    hidden = jnp.ones(data.shape[:3])
    if real is not None:
        noise = jnp.where(flow.bcast(real, data), data, noise)
        hidden = 1.0 - real
    return FlowPoint(flow.interpolate(data, noise, tau), noise, tau, is_mean, hidden)


def predict(network: Network, clips: EncodedBatch, point: FlowPoint) -> Prediction:
    """Return the network's velocity at the point; its target is noise - data."""
    v, motion = network(point.z, point.tau, clips.conditions)
    predicted = flow.data_from_velocity(v, point.z, point.tau)
    target = point.noise - clips.latents
    return Prediction(v, target, predicted, clips.latents, motion)


def compare(point: FlowPoint, velocity: Latents, target: Latents) -> Prediction:
    """Return a velocity beside another one, and the latents that both lead to."""
    predicted, data = (
        flow.data_from_velocity(x, point.z, point.tau) for x in (velocity, target)
    )
    return Prediction(velocity, target, predicted, data)


def weigh(
    config: Config, clips: EncodedBatch, point: FlowPoint, prediction: Prediction
) -> PerClip:
    """Return the loss of each clip, the mean over its hidden frames."""
    predicted = prediction.predicted
    data = prediction.data
    if isinstance(config.model.parametrisation, Residual):
        sigma = deviation(clips.conditions.mask[:, -data.shape[1] :, ..., None])
        flow_losses = flow.flow_loss(predicted, data, point.tau, sigma)
    else:
        flow_losses = flow.velocity_loss(prediction.velocity, prediction.target)
    weight, mean_losses = regression(predicted, data, config.flow.moving)
    per_clip = [flow.mean_of(point.hidden, x) for x in (mean_losses, flow_losses)]
    losses = jnp.where(point.is_mean, *per_clip)
    if prediction.motion is None or clips.true_motion is None:
        return losses
    error = motion_error(prediction.motion, clips.true_motion, weight)
    return losses + config.flow.motion * flow.mean_of(point.hidden, error)


def report(
    losses: PerClip,
    point: FlowPoint,
    prediction: Prediction,
    means: int,
    part: Microbatch,
) -> Metrics:
    """Return the metrics: sums over these clips, divided by the counts of the whole batch.

    Of that `means` clips train the mean.
    """
    error = ((prediction.predicted - prediction.data) ** 2).mean((3, 4, 5))
    error = flow.mean_of(point.hidden, error)
    is_mean = point.is_mean
    bins = 10
    return {
        "loss": losses.mean() * (len(losses) / part.size),
        "mean_error": (error * is_mean).sum() / max(means, 1),
        "flow_error": (error * ~is_mean).sum() / max(part.size - means, 1),
        "flow_times": jnp.histogram(point.tau, bins, (0.0, 1.0), weights=1.0 - is_mean)[
            0
        ],
    }
