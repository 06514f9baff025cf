"""Where a training state lies: on one device, or sharded over a mesh."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import AbstractMesh, Mesh

from full4d_jax.config import Config
from full4d_jax.models.sharding import check_mesh, make_mesh, tree_shardings
from full4d_jax.training.state import TrainState, init_state


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


def is_sharded(mesh: Mesh | None) -> bool:
    """Return whether each device holds only shards of the parameters."""
    return mesh is not None and mesh.size > mesh.shape["data"]


def state_shapes(config: Config, mesh: Mesh | AbstractMesh | None) -> TrainState:
    """Return the shapes of the state; on a mesh, sharded as `sharding.RULES` says."""
    shapes = jax.eval_shape(lambda: init_state(config, jax.random.key(0)))
    if mesh is None:
        return shapes
    return jax.tree.map(
        lambda x, cut: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=cut),
        shapes,
        tree_shardings(mesh, shapes, config.model.width),
    )
