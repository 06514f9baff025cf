"""A video from words, or from words and its first picture: a grid of one view, made by Wan.

With one view and no projection the network is Wan's (`models.dit.dit`), so any checkpoint of a
preset of Wan makes videos, converted or fine-tuned. Given a picture, the first latent frame is its
encoding, clean at flow time 0, as in Wan2.2-TI2V's own training.

The sampler is UniPC for flows (arXiv 2302.04867, B2). With flow times sigma, alpha = 1 - sigma and
lambda = log(alpha / sigma), each call of the network gives clean latents m = x - sigma v. A step
from s to t, with h = lambda_t - lambda_s and r the lambda before s relative to s, in units of h,
first corrects x by what the network says there (but in the first step), then predicts the next x:

    x_t = sigma_t / sigma_s x_s - alpha_t (e^-h - 1) (m_s + sum_i rho_i D_i)

where D_i are the differences of m that the order allows. So all of it is linear in the last state
and three m's, with numbers that the flow times alone decide (`coefficients`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from full4d_jax.config import ModelConfig, Size
from full4d_jax.flow import Latents
from full4d_jax.generation import batch, generate, sampling
from full4d_jax.generation.prior import Prior, check_grid
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.session.errors import InputError

# The first latent frame.
Start = Float[Array, "1 1 1 i j c"]
# Flow times.
Times = Float[np.ndarray, "n"]
# Wan's network was trained on whole thousandths of the flow.
NETWORK_TIMES = 1000


def make_video(
    prior: Prior,
    size: Size,
    key: PRNGKeyArray,
    first: UInt8[np.ndarray, "h w 3"] | None = None,
) -> UInt8[np.ndarray, "t h w 3"]:
    """Return a video, sRGB, made by UniPC with the prior's steps, shift and guidance.

    Args:
      prior: a model with text and a projection as frames: a preset of Wan. Its `text` says what the
        video shows; `sampler.text_guidance` leads towards it.
      size: of the video, which is one view; with a causal codec it has 1 + 4 n frames.
      key: randomness of the initial noise.
      first: the first frame, of that size, for a model that is given it.

    Raises:
      InputError: the model takes no text, or no first frame; or it cannot divide the video into
        tokens, or the mesh the tokens.
    """
    model = prior.model
    check_model(model, has_first=first is not None)
    strides = model.strides
    check_grid(prior, size)
    views, frames, height, width = size
    sides = height // strides.pixels, width // strides.pixels
    shape = 1, views, strides.latent_frames(frames), *sides, strides.channels
    start = None
    if first is not None:
        start = _start_program(prior.for_codec, to_model(first[None]))
    noise = jax.random.normal(key, shape)
    latents = _latents_program(prior.for_network, noise, start)
    (video,) = generate.filled_program(prior.for_codec, latents)
    return np.asarray(to_uint8(to_unit(video)))


def check_model(model: ModelConfig, *, has_first: bool) -> None:
    """Refuse a model that makes no videos, or none that begin with a given picture.

    Raises:
      InputError: the message names the field of the config.
    """
    begins = model.guide.first_frame or not has_first
    expected = "ProjectionAsFrames" + ", first_frame" * has_first
    needed = {
        "text_width": (model.text_width > 0, "a model that reads text"),
        "guide": (model.guide.projected_half and begins, expected),
    }
    for name, (fits, expected) in needed.items():
        if not fits:
            do = "take a preset of Wan, e.g. --config wan22_5b"
            value = getattr(model, name)
            raise InputError("config", f"model.{name}", value, expected, do)


@generate.program
def _start_program(prior: Prior, first: Float[Array, "1 h w 3"]) -> Start:
    """Return the first picture's latents."""
    weights = prior.codec_weights
    latents = batch.encode_videos(prior.model, weights, first[None, None])
    return generate.gathered(latents)


@generate.program
def _latents_program(prior: Prior, noise: Latents, start: Start | None) -> Latents:
    """Return the video's latents, by all steps of the sampler."""
    times = wan_times(prior.sampler.steps, prior.sampler.shift)
    flow = generate.bind_guided(prior, video_guides(prior, noise, start))
    if start is not None:
        noise = noise.at[:, :, :1].set(start)
    return generate.gathered(sample_unipc(flow, noise, times))


def video_guides(prior: Prior, noise: Latents, start: Start | None) -> sampling.Guides:
    """Return the conditions of a grid of one view without a projection, with both texts."""
    frames = noise.shape[2]
    empty = noise[:, :, :0]
    real = None
    base = empty
    if start is not None:
        real = (jnp.arange(frames) == 0)[None, None]
        base = jnp.zeros_like(noise).at[:, :, :1].set(start)
    seen = Conditions(
        projection=empty,
        base=base,
        mask=empty[..., 0],
        disparity=empty[..., 0],
        world_to_camera=jnp.broadcast_to(jnp.eye(4), (1, 1, frames, 4, 4)),
        intrinsics=jnp.eye(3)[None, None],
        real=real,
    )
    return generate.text_guides(prior, seen)


def wan_times(steps: int, shift: float) -> Times:
    """Return the `steps` + 1 flow times of Wan's sampler, from nearly 1 down to 0.

    Alpha at the start is not 0, so that its logarithm is finite.
    """
    least_alpha = 1e-6
    noise = np.linspace(1, 1 / NETWORK_TIMES, steps + 1)[:-1]
    shifted = shift * noise / (1 + (shift - 1) * noise)
    shifted[0] -= least_alpha
    return np.append(shifted, 0.0)


def coefficients(
    times: Times,
) -> tuple[Float[np.ndarray, "s 5"], Float[np.ndarray, "s 3"]]:
    """Return what the n steps between these flow times multiply with, of second order.

    First to correct: of the predicted state, which the first step keeps as it is, of the state
    before that prediction, of m two calls ago, m one call ago and m now. Then to predict: of the
    corrected state, of m one call ago, and of m now.
    """
    with np.errstate(divide="ignore"):
        # Infinite at the end.
        log_snr = np.log(1 - times) - np.log(times)
    # What x and m are multiplied by in first order.
    h = np.diff(log_snr)
    shrinking = np.expm1(-h)
    kept = times[1:] / times[:-1]
    weight = (times[1:] - 1) * shrinking
    steps = len(h)
    predicted = np.stack([kept, np.zeros(steps), weight], 1)
    corrected = np.zeros((steps, 5))
    corrected[0, 0] = 1
    corrected[1:, 1] = kept[:-1]
    corrected[1:2, 3:] = weight[0] / 2
    # The first step knows one m; the last, to infinite lambda, is exact with one.
    for step in range(1, steps - 1):
        ratio = -h[step - 1] / h[step]
        pull = weight[step] * 0.5 / ratio
        predicted[step, 1:] = pull, weight[step] - pull
        # Modulation of the exponential integrator, which the two differences have to meet.
        first = shrinking[step] / -h[step] - 1
        second = first / -h[step] - 0.5
        moments = np.array([first, 2 * second]) / shrinking[step]
        shares = np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), moments)
        older, newer = weight[step] * shares
        pull = older / ratio
        corrected[step + 1, 2:] = pull, weight[step] - pull - newer, newer
    return corrected, predicted


def sample_unipc(
    velocity: sampling.Velocity, noise: sampling.State, times: Times
) -> sampling.State:
    """Integrate from `noise` at times[0] to 0 by UniPC of second order.

    Args:
      velocity: (z, tau (b,)) -> dz/dtau, all conditions bound.
      noise: the initial state.
      times: decreasing flow times, the last one 0; see `wan_times`.
    """
    # The network takes whole thousandths, as in training; the solver's times are exact.
    known = np.floor(NETWORK_TIMES * times[:-1]) / NETWORK_TIMES

    def body(state, now):
        before, x, oldest, older = state
        corrected, predicted, tau, exact = now
        clean = x - exact * velocity(x, jnp.full(len(x), tau))
        keep, last, two_ago, one_ago, newest = corrected
        pulled = last * before + two_ago * oldest + one_ago * older + newest * clean
        x = keep * x + pulled
        same, one_ago, newest = predicted
        return (x, same * x + one_ago * older + newest * clean, older, clean), None

    nothing = jnp.zeros_like(noise)
    rows = *coefficients(times), known, times[:-1]
    steps = [jnp.asarray(row, jnp.float32) for row in rows]
    return jax.lax.scan(body, (nothing, noise, nothing, nothing), steps)[0][1]
