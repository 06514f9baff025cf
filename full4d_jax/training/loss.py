"""The loss of a training step, in the order in which `loss` calls these functions.

encode_clips   latents and conditions of the clips, and their text
draw_flow      flow times and noise, independently for each clip
predict        the network's velocity, and the velocity it should have; where adapters learn to
               take few steps (`flow.segments`), `predict_segment`
weigh          one loss for each clip
report         the metrics
perceptual     LPIPS of the decoded clips, where `flow.perceptual` asks for it
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, PRNGKeyArray, Shaped

from full4d_jax import flow
from full4d_jax.config import Config
from full4d_jax.flow import Latents
from full4d_jax.generation.batch import Batch, EncodedBatch, lines, prepare
from full4d_jax.generation.sampling import Velocity, guided
from full4d_jax.media.metrics import Distance
from full4d_jax.models import functional, trainable
from full4d_jax.models.codec import Codec, Weights, make_codec
from full4d_jax.models.dit import dit
from full4d_jax.models.dit.backbone import MOTION_UNIT_PIXELS
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.dit import velocity
from full4d_jax.training.clips.projected_batch import ProjectedBatch, prepare_projected
from full4d_jax.training.few_steps import SegmentTimes, draw_segments, segment_velocity
from full4d_jax.training.microbatch import Microbatch

Metrics = dict[str, Float[Array, "..."]]
PerClip = Float[Array, "b"]
Text = Float[np.ndarray, "n e"] | None
Clips = Batch | ProjectedBatch | EncodedBatch


class Frozen(NamedTuple):
    """Inputs of the loss that training does not change.

    Attributes:
      codec_weights: None for codecs without weights.
      text: the embedding of the prompt that clips without a text of their own get.
      negative: the embedding that a share `data.drop_text` of the clips gets instead, and from
        which the guidance of a teacher leads away.
      distance: LPIPS, added to the regression with the weight `flow.perceptual`.
    """

    codec_weights: Weights | None = None
    text: Text = None
    negative: Text = None
    distance: Distance | None = None


NOTHING_FROZEN = Frozen()


class Keys(NamedTuple):
    """Random keys of one loss, in the order in which its key is split."""

    encode: PRNGKeyArray
    times: PRNGKeyArray
    noise: PRNGKeyArray
    text: PRNGKeyArray


def split_keys(key: PRNGKeyArray) -> Keys:
    """Split the key of one loss."""
    return Keys(*jax.random.split(key, len(Keys._fields)))


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
    params: functional.Params,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen = NOTHING_FROZEN,
    part: Microbatch | None = None,
) -> tuple[Float[Array, ""], Metrics]:
    """Return the mean loss of a batch: regression at tau = 1 from zero noise, else flow matching.

    Loss and metrics of a `part` are its shares in those of the whole batch.
    """
    part = part or whole_batch(batch)
    keys = split_keys(key)
    clips = encode_clips(config, batch, keys, frozen, part)
    times = None
    if segments := config.flow.segments:
        drawn = draw_segments(keys.times, part.size, segments, config.sampler.shift)
        times = jax.tree.map(part.take, drawn)
    point = draw_flow(config, clips, keys, part, times)
    if times:
        prediction = predict_segment(
            config, params, clips, point, times, frozen.negative
        )
    else:
        prediction = predict(dit.prediction(config.model, params), clips, point)
    losses = weigh(config, clips, point, prediction)
    # Clips of the whole batch that train the mean; they come first.
    means = round(config.flow.mean_share * part.size)
    metrics = report(losses, point, prediction, means, part)
    if frozen.distance is None:
        return metrics["loss"], metrics
    codec = make_codec(config.model, frozen.codec_weights)
    term = perceptual(codec, frozen.distance, prediction, means, part)
    share = config.flow.perceptual * term * means / part.size
    total = metrics["loss"] + share
    return total, {**metrics, "loss": total, "perceptual": term}


def mean_over_lines(
    config: Config,
    batch: Clips,
    key: PRNGKeyArray,
    frozen: Frozen,
    part: Microbatch,
    measure: Callable[[Clips, PRNGKeyArray, Frozen, Microbatch], Any],
) -> Any:
    """Return `measure` of the clips, or with `data.lines` its mean over their rows and columns."""
    if not isinstance(batch, Batch) or not config.data.lines:
        return measure(batch, key, frozen, part)
    # A grid has as many rows as views, and as many columns as frames.
    sides = batch.world_to_camera.shape[1:3]
    shares = [
        measure(clips, jax.random.fold_in(key, i), frozen, part.of_lines(sides[i]))
        for i, clips in enumerate(lines(batch))
    ]
    return jax.tree.map(lambda *x: sum(x) / len(x), *shares)


def count_clips(batch: Clips) -> int:
    """Return the number of clips in a batch."""
    return len(jax.tree.leaves(batch)[0])


def whole_batch(batch: Clips) -> Microbatch:
    """Return the only part of a batch that is not divided."""
    clips = count_clips(batch)
    return Microbatch(jnp.arange(clips), clips)


def encode_clips(
    config: Config, batch: Clips, keys: Keys, frozen: Frozen, part: Microbatch
) -> EncodedBatch:
    """Return the latents to generate and the conditions, with the text that each clip gets."""
    model = config.model
    data = config.data
    if isinstance(batch, Batch):
        weights = frozen.codec_weights
        batch = prepare(batch, keys.encode, model, data, weights, part.places)
    elif isinstance(batch, ProjectedBatch):
        batch = prepare_projected(batch, keys.encode, model, data, part.places)
    texts = batch.conditions.text
    if texts is None:
        if frozen.text is None:
            return batch
        texts = jnp.broadcast_to(frozen.text, (len(batch.latents), *frozen.text.shape))
    if frozen.negative is not None:
        chance = draw_per_clip(jax.random.uniform, keys.text, part, 1, 1)
        drops = chance < config.data.drop_text
        texts = jnp.where(drops, frozen.negative[None], texts)
    return batch._replace(conditions=batch.conditions._replace(text=texts))


def draw_flow(
    config: Config,
    clips: EncodedBatch,
    keys: Keys,
    part: Microbatch,
    times: SegmentTimes | None,
) -> FlowPoint:
    """Draw the noise of each clip, and its flow time where no `times` are given."""
    data = clips.latents
    if times:
        tau = times.tau
        is_mean = jnp.zeros(len(tau), bool)
    else:
        shift = config.flow.shift
        share = config.flow.mean_share
        drawn = flow.sample_time(keys.times, part.size, shift=shift, mean_share=share)
        tau, is_mean = map(part.take, drawn)
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


def draw_per_clip(
    sampler: Callable[..., Array], key: PRNGKeyArray, part: Microbatch, *shape: int
) -> Shaped[Array, "b ..."]:
    """Draw independently for each clip, by its place in the whole batch."""
    return jax.vmap(lambda i: sampler(jax.random.fold_in(key, i), shape))(part.places)


def predict(
    network: Callable[..., dit.Predicted], clips: EncodedBatch, point: FlowPoint
) -> Prediction:
    """Return the network's velocity at the point; its target is noise - data."""
    data = clips.latents
    v, motion = network(point.z, point.tau, clips.conditions)
    predicted = flow.data_from_velocity(v, point.z, point.tau)
    return Prediction(v, point.noise - data, predicted, data, motion)


def predict_segment(
    config: Config,
    params: functional.Params,
    clips: EncodedBatch,
    point: FlowPoint,
    times: SegmentTimes,
    negative: Text,
) -> Prediction:
    """Return the student's velocity at the point; its target leads to its segment's end."""
    conditions = clips.conditions
    held = jax.lax.stop_gradient(params)
    without = trainable.without_adapters(config.model)
    network = velocity(without, trainable.drop_adapters(held))
    follower = velocity(config.model, held)

    def bound(network: Callable[..., Latents], conditions: Conditions) -> Velocity:
        return lambda z, tau: network(z, tau, conditions)

    guides = []
    if config.flow.teacher_guidance != 1:
        assert negative is not None, "rules ask for two texts"
        text = jnp.broadcast_to(negative, (len(point.z), *negative.shape))
        without_text = bound(network, conditions._replace(text=text))
        guides.append((without_text, config.flow.teacher_guidance))
    teacher = guided(bound(network, conditions), guides)
    target = segment_velocity(bound(follower, conditions), teacher, point.z, times)
    v = velocity(config.model, params)(point.z, point.tau, conditions)
    predicted, data = (
        flow.data_from_velocity(x, point.z, point.tau) for x in (v, target)
    )
    return Prediction(v, target, predicted, data)


def weigh(
    config: Config, clips: EncodedBatch, point: FlowPoint, prediction: Prediction
) -> PerClip:
    """Return the loss of each clip, the mean over its hidden frames."""
    model = config.model
    predicted = prediction.predicted
    data = prediction.data
    if model.prediction == "velocity":
        flow_losses = flow.velocity_loss(prediction.velocity, prediction.target)
    else:
        sigma = dit.deviation(clips.conditions.mask[:, -data.shape[1] :, ..., None])
        flow_losses = flow.flow_loss(predicted, data, point.tau, sigma)
    # Of a latent from instant 0, in pictures a tenth of the range.
    least_change = 0.2
    changed = jnp.abs(data - data[:, :, :1]).max(-1, keepdims=True) > least_change
    weight = 1 + config.flow.moving * changed
    mean_losses = flow.mean_loss(predicted, data, weight)
    per_clip = [flow.mean_of(point.hidden, x) for x in (mean_losses, flow_losses)]
    losses = jnp.where(point.is_mean, *per_clip)
    if prediction.motion is None or clips.true_motion is None:
        return losses
    # How far motion is from a trusted truth; below this length an error counts as its square.
    rounded_off = 0.02
    truth = clips.true_motion
    missed = (prediction.motion - truth[..., :2]) / MOTION_UNIT_PIXELS
    length = jnp.sqrt((missed**2).sum(-1, keepdims=True) + rounded_off**2)
    error = (weight * truth[..., 2:] * length).mean((3, 4, 5))
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


def perceptual(
    codec: Codec,
    distance: Distance,
    prediction: Prediction,
    means: int,
    part: Microbatch,
) -> Float[Array, ""]:
    """Return the mean LPIPS of the `means` clips that train the mean, which come first."""
    # No others are decoded.
    most = part.most_below(means)
    pair = prediction.predicted, prediction.data
    pictures = [codec.decode(x[:most]) / 2 + 0.5 for x in pair]
    a, b = (rearrange(x, "b v t h w c -> (b v t) h w c") for x in pictures)
    distances = distance(a, b).reshape(most, -1).mean(1)
    return (distances * (part.places[:most] < means)).sum() / max(means, 1)
