"""The state that a training step changes: how it begins, and how gradients update it."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray

from full4d_jax.config import Config
from full4d_jax.models.dit import init_params
from full4d_jax.models.functional import Params
from full4d_jax.models.sharding import tree_shardings
from full4d_jax.training.optimizer import make_optimizer


class TrainState(NamedTuple):
    """A pytree; checkpoints hold it whole.

    Attributes:
      step: steps done, which is the position in the data.
      params: float32.
      ema: averaged parameters, used for sampling.
      optimizer: the optimizer's state.
    """

    step: Int[Array, ""]
    params: Params
    ema: Params
    optimizer: optax.OptState


def init_state(
    config: Config,
    key: PRNGKeyArray,
    mesh: Mesh | None = None,
    optimizer: optax.GradientTransformation | None = None,
) -> TrainState:
    """Return step 0 with random parameters.

    Args:
      config: the experiment.
      key: the parameters are a function of the model and it alone.
      mesh: over whose devices the state is sharded (`sharding.RULES`): each makes its own shards,
        and none ever holds the whole. None is one device.
      optimizer: in place of the config's; the same that `train_step` gets.
    """

    def make() -> TrainState:
        return state_from_params(config, init_params(config.model, key), optimizer)

    return make_state(config, mesh, make)


def state_from_params(
    config: Config, params: Params, optimizer: optax.GradientTransformation | None = None
) -> TrainState:
    """Return step 0 with given parameters (`--init`)."""
    return first_state(optimizer or config_optimizer(config), params)


def config_optimizer(config: Config) -> optax.GradientTransformation:
    """Return the optimizer that a config asks for."""
    return make_optimizer(config.optimizer, config.training.steps)


def make_state(
    config: Config, mesh: Mesh | None, make: Callable[..., TrainState], *arguments: Any
) -> TrainState:
    """Return `make(*arguments)`, of which each device makes its own shards.

    Args:
      config: has the model's width, by which parameters are sharded.
      mesh: None for one device.
      make: traceable.
      arguments: its arguments, sharded likewise, or nothing; on a mesh their buffers are used up.
    """
    if mesh is None:
        return make(*arguments)
    shardings = tree_shardings(mesh, jax.eval_shape(make, *arguments), config.model.width)
    donated = tuple(range(len(arguments)))
    return jax.jit(make, out_shardings=shardings, donate_argnums=donated)(*arguments)


def first_state(optimizer: optax.GradientTransformation, params: Params) -> TrainState:
    """Return step 0 of any network."""
    ema = copied(params)  # its own buffers, since the step donates both
    return TrainState(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params))


@jax.jit
def copied(params: Params) -> Params:
    """Return a copy of all parameters, by one program: one by one, each shape would be one."""
    return jax.tree.map(jnp.copy, params)


def apply_gradients(
    optimizer: optax.GradientTransformation,
    decay: float,
    state: TrainState,
    gradients: Any,
    trained: Params | None = None,
) -> TrainState:
    """Return the state after a step.

    Args:
      optimizer: turns gradients into updates.
      decay: of the averages; warmed up as (1 + step) / (10 + step).
      state: the state before.
      gradients: a tree like the parameters.
      trained: leaves that are False here keep their bits (`optimizer.trained_leaves`).
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
