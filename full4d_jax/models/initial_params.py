"""The parameters that training starts with: those of a checkpoint, completed by random ones."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import PRNGKeyArray

from full4d_jax.config import ModelConfig, Residual
from full4d_jax.models import grid_mesh, weights
from full4d_jax.models.dit import dit, sharding
from full4d_jax.models.functional import Params, by_name, nested
from full4d_jax.models.trainable import is_added, without_adapters

# These fields say which tokens attend to each other, what a grid is generated from, and how
# training goes on. All others decide what parameters mean, often without changing a shape.
FREE = ("attention", "guide", "lora_rank")
# Has more inputs where the base moves.
REFINER = "parametrisation.refiner.enter.kernel"
MOVER = "parametrisation.mover."


def start_from(
    model: ModelConfig, checkpoint: Path, key: PRNGKeyArray, mesh: Mesh | None = None
) -> Params:
    """Read the parameters of a checkpoint, and complete them where the model has more.

    Adapters are always fresh, and so is what a video model lacks (`trainable.is_added`) where the
    checkpoint lacks it, too. Inputs of the refiner start at zero where the base is moved anew.

    Args:
      model: the network to train.
      checkpoint: the file.
      key: for what is fresh.
      mesh: each of its devices reads and draws its own shards, so that neither a device nor a host
        has all of them; None is one device.

    Returns:
      The parameters in float32.

    Raises:
      InputError: there is no such file, its model computes something else, or its other names or
        shapes are not the model's.
    """
    stored, names = check_start(model, checkpoint)
    shapes = by_name(grid_mesh.parameter_shapes(stored, mesh, jnp.float32))
    like = nested({name: shapes[name] for name in names})
    params = weights.load_params(checkpoint, like)
    return complete_params(model, params, key, mesh)


def check_start(model: ModelConfig, checkpoint: Path) -> tuple[ModelConfig, list[str]]:
    """Return the network that a checkpoint is of, and which of its parameters it has, unread.

    Raises:
      InputError: as `start_from` does.
    """
    names = weights.tensor_shapes(checkpoint)
    plain = without_adapters(model)
    moves = plain.parametrisation.moves_base
    if moves and not any(name.startswith(MOVER) for name in names):
        plain = dataclasses.replace(plain, parametrisation=Residual())
    weights.require_model(checkpoint, plain, free=FREE)
    wanted = by_name(dit.abstract_params(plain))
    shared = {x: y for x, y in wanted.items() if x in names or not is_added(x)}
    weights.check_params(checkpoint, nested(shared))
    return plain, list(shared)


def complete_params(
    model: ModelConfig, params: Params, key: PRNGKeyArray, mesh: Mesh | None = None
) -> Params:
    """Return the parameters, with fresh ones of `model` under all names that they lack.

    Where nothing of them moves the base and the model does, the refiner's last inputs are new and
    get zeros.
    """
    flat = by_name(params)
    moves = model.parametrisation.moves_base
    if moves and not any(name.startswith(MOVER) for name in flat):
        shapes = by_name(dit.abstract_params(model))
        more = shapes[REFINER].shape[2] - flat[REFINER].shape[2]
        flat[REFINER] = jnp.pad(flat[REFINER], ((0, 0), (0, 0), (0, more), (0, 0)))

    def fresh():
        drawn = by_name(dit.init_params(model, key))
        return {name: x for name, x in drawn.items() if name not in flat}

    cut = None
    if mesh is not None:
        cut = sharding.tree_shardings(mesh, jax.eval_shape(fresh), model.width)
    # Compiled, so that what is known is never drawn.
    return nested(jax.jit(fresh, out_shardings=cut)() | flat)
