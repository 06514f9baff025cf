"""The training mesh while a single grid is made on it: sampled, evaluated, or asked for a scene.

A grid is one sample, which the axes `data` and `fsdp` do not divide: devices along them do the same
work. They still share the parameters, which lie as in training (`sharding`). Tokens, the instants
to project and the videos to encode and decode are divided over `view` and `time`.
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh
from jax.typing import DTypeLike

from full4d_jax import config
from full4d_jax.models.dit import dit, linear, sharding


def grid_mesh(sizes: config.MeshConfig, devices: Sequence | None = None) -> Mesh | None:
    """Return the mesh over the devices; None for one device, or sizes that divide no grid.

    `data` left at 0 is 1, as more would only repeat the work; of several processes all devices
    belong to the mesh.

    Args:
      sizes: of the mesh.
      devices: all of this program by default.

    Raises:
      InputError: the devices do not fit the sizes.
    """
    taken = math.prod((sizes.fsdp, sizes.view, sizes.time, sizes.tensor))
    devices = jax.devices() if devices is None else devices
    if len(devices) == 1 or taken == 1:
        return None
    alone = len({device.process_index for device in devices}) == 1
    return sharding.make_mesh(replace(sizes, data=sizes.data or int(alone)), devices)


def around(mesh: sharding.AnyMesh | None) -> AbstractContextManager[Any]:
    """Return the context in which a program that makes one grid is traced."""
    if mesh is None:
        return nullcontext()
    return jax.sharding.use_abstract_mesh(AbstractMesh(*_of_one_grid(mesh)))


def around_devices(mesh: Mesh) -> Mesh:
    """Return the mesh on which programs traced inside `around` leave their results."""
    sizes, names, types = _of_one_grid(mesh)
    return Mesh(mesh.devices.reshape(sizes), names, types)


def _of_one_grid(mesh: sharding.AnyMesh) -> tuple[Any, Any, Any]:
    """Return sizes, names and types of the axes around one grid."""
    copies = mesh.shape["data"] * mesh.shape["fsdp"]
    # No array has an axis of copies.
    names = ("copies", *sharding.AXES)
    sizes = (copies, 1, 1, *(mesh.shape[name] for name in sharding.AXES[2:]))
    return sizes, names, (AxisType.Auto,) * len(names)


def check_grid_mesh(
    mesh: sharding.AnyMesh, model: config.ModelConfig, size: config.Size
) -> None:
    """Refuse a mesh that does not divide a grid of this size.

    Raises:
      InputError: naming the field.
    """
    samples = mesh.shape["data"] * mesh.shape["fsdp"]
    data = config.DataConfig(**size._asdict())
    training = config.TrainingConfig(batch=samples)
    sharding.check_mesh(config.Config(model=model, data=data, training=training), mesh)


def parameter_shapes(
    model: config.ModelConfig,
    mesh: sharding.AnyMesh | None,
    kind: DTypeLike | None = None,
) -> Any:
    """Return shapes, types and shards of the parameters.

    Args:
      model: the network.
      mesh: over which they are sharded; None is one device.
      kind: their type; by default that in which the network computes.
    """
    kind = linear.product_type(model) if kind is None else kind

    def one(x, axes):
        cut = sharding.sharding_on(mesh, *axes)
        return jax.ShapeDtypeStruct(x.shape, kind, sharding=cut)

    return sharding.with_axes(one, dit.abstract_params(model), model.width)
