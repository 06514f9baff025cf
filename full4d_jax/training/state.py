"""The state that a training step changes: how it begins, and how gradients update it.

`OptimizerConfig.trainable` names the trained parameters. The others are constants of the loss (no
gradient is computed), have no optimizer state, and keep their bits.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray

from full4d_jax.config import Config
from full4d_jax.models.dit import dit, sharding
from full4d_jax.models.functional import Params
from full4d_jax.models.trainable import is_trained
from full4d_jax.training.optimizer import Optimizer, elementwise, make_optimizer


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
    optimizer: Optimizer | None = None,
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
        return state_from_params(config, dit.init_params(config.model, key), optimizer)

    return make_state(config, mesh, make)


def state_shapes(config: Config, mesh: sharding.AnyMesh | None) -> TrainState:
    """Return the shapes of the state; on a mesh, sharded as `sharding.RULES` says."""
    shapes = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    if mesh is None:
        return shapes
    cuts = sharding.tree_shardings(mesh, shapes, config.model.width)
    return jax.tree.map(lambda x, cut: x.update(sharding=cut), shapes, cuts)


def state_from_params(
    config: Config, params: Params, optimizer: Optimizer | None = None
) -> TrainState:
    """Return step 0 with given parameters (`--init`)."""
    return first_state(optimizer or usual_optimizer(config), params)


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
        return jax.jit(make)(*arguments)
    shapes = jax.eval_shape(make, *arguments)
    shardings = sharding.tree_shardings(mesh, shapes, config.model.width)
    donated = tuple(range(len(arguments)))
    return jax.jit(make, out_shardings=shardings, donate_argnums=donated)(*arguments)


def first_state(optimizer: Optimizer, params: Params) -> TrainState:
    """Return step 0 of any network."""
    # Its own buffers, since the step donates both.
    ema = copied(params)
    return TrainState(jnp.zeros((), jnp.int32), params, ema, optimizer.init(params))


@jax.jit
def copied(params: Params) -> Params:
    """Return a copy of all parameters, by one program: one by one, each shape would be one."""
    return jax.tree.map(jnp.copy, params)


def apply_gradients(
    optimizer: Optimizer,
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
    updates, optimizer_state = optimizer.update(
        gradients, state.optimizer, state.params
    )
    warm = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))

    def applied(p: Array, change: Array, ema: Array) -> tuple[Array, Array]:
        p = p + change
        return p, warm * ema + (1 - warm) * p

    params, ema = elementwise(applied, state.params, updates, state.ema)
    if trained is not None:
        params, ema = (
            jax.tree.map(lambda t, old, new: new if t else old, trained, *pair)
            for pair in ((state.params, params), (state.ema, ema))
        )
    return TrainState(state.step + 1, params, ema, optimizer_state)


def trained_leaves(trainable: str, params: Params) -> Params:
    """Return a tree of bools: the leaves that `OptimizerConfig.trainable` lets change."""

    def is_leaf_trained(path: Any, _: Any) -> bool:
        return is_trained(trainable, sharding.dotted(path))

    return jax.tree.map_with_path(is_leaf_trained, params)


def hold_constant(params: Params, trained: Params) -> Params:
    """Return the parameters; those that are not trained pass no gradient."""
    return jax.tree.map(
        lambda x, t: x if t else jax.lax.stop_gradient(x), params, trained
    )


def usual_optimizer(config: Config) -> Optimizer:
    """Return the config's optimizer, of the trained leaves."""
    settings = config.optimizer
    optimizer = make_optimizer(settings, config.training.steps)
    if settings.trainable == "all":
        return optimizer
    return optax.masked(optimizer, partial(trained_leaves, settings.trainable))


def training_mesh(config: Config) -> Mesh | None:
    """Return the mesh of a run; None on one device, where programs are simpler without.

    Raises:
      InputError: the devices do not fit the mesh, or batch and model do not.
    """
    mesh = sharding.make_mesh(config.mesh)
    sharding.check_mesh(config, mesh)
    return mesh if mesh.size > 1 else None


def in_mesh(mesh: Mesh | None, step: Callable[..., Any]) -> Callable[..., Any]:
    """Return the step, traced in the mesh; other programs of the run, like sheets, are not."""
    if mesh is None:
        return step

    def on_mesh(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(*arguments)

    return on_mesh
