"""The multi-view video diffusion transformer: noisy latents of a grid to their velocity.

`velocity(config, params)` is the one entry for training, sampling and distillation. What the grid
is generated from enters in one of three ways (`config.projection`):

frames    (the paper) every view has 2 f latent frames, [to generate; projected]; the projected half
          is clean (tau = 0) and the source's projection is the input video. All v views are
          generated, the source too. A projection of no frames leaves that half out: with one view
          and Wan's weights the network is then Wan's.
channels  (the demo) the projected video is stacked on the channels of the noisy latents; the source
          is a clean view of the grid. The v - 1 target views are generated.
none      (4Real-Video) no projection and no poses; some frames of the grid are real.

Real frames (`Conditions.real`; with `config.first_frame` the source's first) are clean at
flow time 0 whatever the others' flow time is, and stay as they are. With `prediction="residual"`
the network's output is a residual of a first guess: the filled projection or, without any, the
nearest real frame (`flow`). With `config.moves_base` that frame is moved first, and mixed with the
first row's of the same instant, by the motion in the conditions and what the network adds to it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax import flow
from full4d_jax.config import ModelConfig
from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit import linear, two_streams
from full4d_jax.models.dit.backbone import MOTION_UNIT_PIXELS, MultiViewDiT
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.functional import Params, bound, draw_params, structure


class Predicted(NamedTuple):
    """Outputs of the network for the generated views.

    Attributes:
      velocity: of the latents.
      motion: from each pixel to where the nearest real frame shows it, pixels; None without
        `moves_base`.
    """

    velocity: Latents
    motion: Float[Array, "b v t h w 2"] | None


def network(config: ModelConfig, rngs: nnx.Rngs) -> MultiViewDiT:
    """Create the network that `config.attention` names."""
    if config.attention == "sequential":
        return two_streams.SequentialDiT(config, rngs)
    if config.attention.startswith("two_stream"):
        return two_streams.TwoStreamDiT(config, rngs)
    return MultiViewDiT(config, rngs)


def init_params(config: ModelConfig, key: PRNGKeyArray) -> Params:
    """Draw parameters, float32; blocks are stacked on their first axis."""
    return draw_params(network, config, key)


def abstract_params(config: ModelConfig) -> Params:
    """Return the shapes of the parameters, float32, without allocating them."""
    return structure(network, config)[1]


def velocity(config: ModelConfig, params: Params) -> Callable[..., Latents]:
    """Bind parameters: (latents, tau, conditions) -> velocity of the generated views.

    `prediction` says more.
    """
    apply = prediction(config, params)
    return lambda latents, tau, conditions: apply(latents, tau, conditions).velocity


def prediction(config: ModelConfig, params: Params) -> Callable[..., Predicted]:
    """Bind parameters: (latents, tau, conditions) -> what is predicted of the generated views.

    Latents are (b v t h w c) with v the generated views, tau is (b,) in [0, 1], or (b v t) where
    frames differ, e.g. 0 for a first frame that is real (as in Wan2.2-TI2V). Matrix products on
    tokens run in bfloat16 on accelerators, in float32 on CPU; softmax, norms, the embedding of the
    flow time and the velocity are float32 everywhere.
    """
    # Before layers are gathered from other devices, so that bfloat16 is half as much to move.
    params = jax.tree.map(lambda x: x.astype(linear.product_type(config)), params)

    def apply(latents: Latents, tau: Times, conditions: Conditions) -> Predicted:
        model = bound(network, config, params)
        first = conditions.base.shape[1] - latents.shape[1]
        base = conditions.base[:, first:]
        real = conditions.real
        is_real = None
        if real is not None:
            # Real frames enter clean, and do not move.
            is_real = real[:, first:, :, None, None, None]
            latents = jnp.where(is_real, base[:, :, : latents.shape[2]], latents)
        motion = None
        if config.prediction == "velocity":
            answer = model(latents, tau, conditions)
        else:
            sigma = deviation(conditions.mask[:, first:, ..., None])
            taus = tau if real is None else jnp.where(real, 0.0, flow.bcast(tau, real))
            guess = base
            if config.moves_base:
                guess = conditions.moved(conditions.known_motion).picture
            unit = flow.normalise_residual(latents, taus, guess, sigma)
            answer = model(unit, tau, conditions)
            if config.moves_base:
                answer, motion = jnp.split(answer, [base.shape[-1]], -1)
                motion = MOTION_UNIT_PIXELS * motion
                guess = conditions.moved(motion).picture
                motion = motion[..., :2]
            answer = flow.velocity_from_residual(answer, latents, taus, guess, sigma)
        if is_real is not None:
            answer = jnp.where(is_real, 0.0, answer)
        return Predicted(answer, motion)

    return apply


def deviation(mask: Float[Array, "b v t h w 1"]) -> Float[Array, "b v t h w 1"]:
    """Return s of `flow`: how far the data are from the filled projection, where seen or not."""
    seen = 0.13
    hole = 0.30
    return jnp.where(mask > 0, seen, hole)
