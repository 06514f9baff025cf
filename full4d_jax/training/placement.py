"""Placement of a training state, and the program of its step, for `train` and `inspect`."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from full4d_jax.config import Config
from full4d_jax.models.sharding import check_mesh, make_mesh, tree_shardings
from full4d_jax.training.bad_losses import RunningLoss, skip_bad_steps
from full4d_jax.training.state import TrainState, init_state

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


def training_mesh(config: Config) -> Mesh | None:
    """Return the mesh of a run; None on one device, where programs are simpler without.

    Raises:
      InputError: the devices do not fit the mesh, or batch and model do not.
    """
    mesh = make_mesh(config.mesh)
    check_mesh(config, mesh)
    return mesh if mesh.size > 1 else None


def in_mesh(mesh: Mesh | None, step: Callable[..., Any]) -> Callable[..., Any]:
    """Return the step, traced in the mesh; other programs of the run, like sheets, are not."""
    if mesh is None:
        return step

    def on_mesh(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(*arguments)

    return on_mesh


def state_shapes(config: Config, mesh: Mesh | AbstractMesh | None) -> TrainState:
    """Return the shapes of the state; on a mesh, sharded as `sharding.RULES` says."""
    shapes = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    if mesh is None:
        return shapes
    cuts = tree_shardings(mesh, shapes, config.model.width)
    return jax.tree.map(lambda x, cut: x.update(sharding=cut), shapes, cuts)


def jit_step(step: Step, state: TrainState, losses: RunningLoss, spike: float) -> Any:
    """Jit a step as `bad_losses` guards it.

    It maps (state, losses, batch, *frozen) to state, losses and metrics.

    Args:
      step: (state, batch, *frozen) -> (state, metrics).
      state: arrays, or their shapes, whose shardings the result keeps; the argument is donated.
      losses: the running loss, likewise.
      spike: see `skip_bad_steps`.
    """

    def sharding(x: Any) -> NamedSharding | None:
        return x.sharding if isinstance(x.sharding, NamedSharding) else None

    shardings = jax.tree.map(sharding, (state, losses))
    # Every process reads the metrics.
    replicated = sharding(state.step)
    shardings = *shardings, replicated
    return jax.jit(skip_bad_steps(step, spike), donate_argnums=(0, 1), out_shardings=shardings)


def runs_codec(config: Config) -> bool:
    """Return whether the step encodes or decodes, for which it takes the codec's weights."""
    return config.data.projections == 0 or config.flow.perceptual > 0
