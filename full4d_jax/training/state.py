"""Everything that a step changes, and how it begins."""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray

from full4d_jax.config import Config
from full4d_jax.models.conditions import Params
from full4d_jax.models.dit import init_params
from full4d_jax.training.optimizer import block_matrices, make_optimizer


class TrainState(NamedTuple):
    """A pytree; also what a checkpoint holds."""

    step: Int[Array, ""]  # steps done, and so the position in the data
    params: Params  # float32
    ema: Params  # averaged parameters, used for sampling
    optimizer: optax.OptState


def init_state(config: Config, key: PRNGKeyArray) -> TrainState:
    """Random parameters and an empty optimizer."""
    return state_from_params(config, init_params(config.model, key))


def state_from_params(config: Config, params: Params) -> TrainState:
    """Step 0 with given parameters (`--init`)."""
    optimizer = make_optimizer(config.optimizer, config.training.steps, block_matrices)
    return first_state(optimizer, params)


def first_state(optimizer: optax.GradientTransformation, params: Params) -> TrainState:
    """Step 0 of any network."""
    ema = jax.tree.map(jnp.copy, params)  # its own buffers, since the step donates both
    return TrainState(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params))


def apply_gradients(
    optimizer: optax.GradientTransformation,
    decay: float,
    state: TrainState,
    gradients: Any,
    trained: Params | None = None,
) -> TrainState:
    """The state after a step; `decay` of the averages is warmed up as (1 + step) / (10 + step).

    Leaves that `trained` marks False pass through (see `optimizer.trained_leaves`).
    """
    updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.params)
    params = cast(Params, optax.apply_updates(state.params, updates))
    warm = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    ema = jax.tree.map(lambda e, p: warm * e + (1 - warm) * p, state.ema, params)
    if trained is not None:
        params, ema = (
            jax.tree.map(lambda t, old, new: new if t else old, trained, *pair)
            for pair in ((state.params, params), (state.ema, ema))
        )
    return TrainState(state.step + 1, params, ema, optimizer_state)
