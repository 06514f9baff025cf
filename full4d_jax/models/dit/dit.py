"""The multi-view video diffusion transformer: noisy latents of a grid to their velocity.

`velocity(config, params)` is the one entry for training, sampling and distillation. Three parts
make the network: a guide, through which the grid is generated from something (`guides`); blocks
with an attention over views and times (`backbone`, `two_streams`), which know neither of the
others by name; and what the output means (`parametrisations`, `moved_base`).

Real frames (`Conditions.real`; with `ProjectionAsFrames.first_frame` the source's first) are clean
at flow time 0 whatever the others' flow time is, and stay as they are.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import PRNGKeyArray

from full4d_jax.config import ModelConfig
from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit import linear
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.dit.backbone import MultiViewDiT
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.parametrisations import Predicted
from full4d_jax.models.functional import Params, bound, draw_params, structure


def network(config: ModelConfig, rngs: nnx.Rngs) -> MultiViewDiT:
    """Create the network that `config.attention` names."""
    return config.attention.implementation(config, rngs)


def init_params(config: ModelConfig, key: PRNGKeyArray) -> Params:
    """Draw parameters, float32; blocks are stacked on their first axis."""
    return draw_params(network, config, key)


def abstract_params(config: ModelConfig) -> Params:
    """Return the shapes of the parameters, float32, without allocating them."""
    return structure(network, config)[1]


def velocity(
    config: ModelConfig, params: Params, attend: Attend | None = None
) -> Callable[..., Latents]:
    """Bind parameters: (latents, tau, conditions) -> velocity of the generated views.

    `prediction` says more.
    """
    apply = prediction(config, params, attend)
    return lambda latents, tau, conditions: apply(latents, tau, conditions).velocity


def prediction(
    config: ModelConfig, params: Params, attend: Attend | None = None
) -> Callable[..., Predicted]:
    """Bind parameters: (latents, tau, conditions) -> what is predicted of the generated views.

    Latents are (b v t h w c) with v the generated views, tau is (b,) in [0, 1], or (b v t) where
    frames differ, e.g. 0 for a first frame that is real (as in Wan2.2-TI2V). Matrix products on
    tokens run in bfloat16 on accelerators, in float32 on CPU, and parameters are rounded to that;
    softmax, norms, the embedding of the flow time and the velocity are computed in float32.

    Args:
      config: the network.
      params: its parameters.
      attend: attention of yours, (q, k, v, pattern) -> o on (b v t s k d), in place of
        `fused_attention`; in two streams each row or column of a grid is one.
    """
    # Before layers are gathered from other devices, so that bfloat16 is half as much to move.
    params = jax.tree.map(lambda x: x.astype(linear.product_type(config)), params)

    def apply(latents: Latents, tau: Times, conditions: Conditions) -> Predicted:
        model = bound(network, config, params)
        if conditions.real is None:
            return model(latents, tau, conditions, attend)
        # Real frames enter clean, and do not move.
        views, frames = latents.shape[1:3]
        first = conditions.base.shape[1] - views
        is_real = conditions.real[:, first:, :, None, None, None]
        clean = conditions.base[:, first:, :frames]
        latents = jnp.where(is_real, clean, latents)
        predicted = model(latents, tau, conditions, attend)
        velocity = jnp.where(is_real, 0.0, predicted.velocity)
        return predicted._replace(velocity=velocity)

    return apply
