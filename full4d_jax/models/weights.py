"""Parameters as safetensors files: bfloat16 tensors under dotted names, and text metadata."""

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

from full4d_jax.config import to_dict
from full4d_jax.models import tensor_files
from full4d_jax.models.functional import Params, by_name, nested
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import misfits
from input_pipeline.plain_files import load_json, parse_json, require_layout

Model = TypeVar("Model")
# Values of JSON by name.
Metadata = dict[str, Any]
SHIPPED = Path(__file__).parents[1] / "weights"
# Of what is read of it.
METADATA = {
    "model?": {str: object},
    "max_azimuth_degrees?": float,
    "max_elevation_degrees?": float,
    "prior_rows?": int,
}


def save_params(path: str | Path, params: Params, metadata: Metadata) -> None:
    """Write nested parameters in bfloat16; metadata values are stored as JSON.

    The same arguments give the same bytes; the library would write metadata in any order. One layer
    of one parameter at a time is whole, wherever the shards of the others are. Where these are in
    several processes, all call this together, and the first writes.
    """
    kind = np.dtype(jnp.bfloat16)
    tensors = dict(sorted(by_name(params).items()))
    slots = {name: tensor_files.Slot(kind, x.shape) for name, x in tensors.items()}
    pieces = _pieces(tensors, kind)
    if jax.process_index() > 0:
        # The shards that this process has are gathered by the way.
        for _ in pieces:
            pass
        return
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    tensor_files.write_safetensors(Path(path), slots, pieces, texts)


def _pieces(tensors: dict[str, Any], kind: np.dtype) -> tensor_files.Pieces:
    """Yield the layers of stacks of matrices with their numbers, and other arrays whole."""
    for name, x in tensors.items():
        is_here = isinstance(x, jax.Array) and x.is_fully_addressable
        if is_here and [device.platform for device in x.devices()] == ["cpu"]:
            # No copy, and no program compiled for every shape.
            x = np.asarray(x)
        for i in range(len(x)) if x.ndim > 2 else [None]:
            layer = (x if i is None else x[i]).astype(kind)
            if isinstance(layer, jax.Array) and not layer.is_fully_addressable:
                layer = multihost_utils.process_allgather(layer, tiled=True)
            yield name, i, np.asarray(layer)


def load_params(
    path: str | Path, like: Params | None = None, *, on_host: bool = False
) -> Params:
    """Read nested parameters, with memory for one tensor more.

    Args:
      path: a file written by `save_params`.
      like: arrays or `ShapeDtypeStruct`s that names and shapes must agree with, and whose types the
        result has; without, it is float32. Of those with a `NamedSharding` each device reads its
        own shard, and no device or host has them whole.
      on_host: return numpy arrays, which programs take to the device for as long as they run.

    Raises:
      InputError: there is no such file, it is not a safetensors file, its checksum is another,
        names or shapes do not agree, or tensors are not floats of 16 or 32 bits.
    """
    with tensor_files.open_tensors(path) as file:
        wanted = None if like is None else by_name(like)
        _check(path, file, wanted)
        tensor_files.require_whole(path, file.metadata() or {})
        # One tensor after the other, so that the file is never in memory beside its copy; each is
        # waited for, since a conversion under way keeps what it reads.
        arrays = {
            name: jax.block_until_ready(
                _read(file, name, wanted and wanted[name], on_host)
            )
            for name in list(file.keys())
        }
        return nested(arrays)


def load_shipped(name: str) -> Params:
    """Read the parameters, float32, of a network whose weights the package has."""
    return load_params(SHIPPED / f"{name}.safetensors")


def _read(file: Any, name: str, like: Any, on_host: bool) -> jax.Array | np.ndarray:
    """Read a tensor of an opened file, as `load_params` says."""
    kind = jnp.dtype(jnp.float32 if like is None else like.dtype)
    if on_host:
        return file.get_tensor(name).astype(kind, copy=False)
    sharding = getattr(like, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        # Cast by NumPy and put: JAX would compile a program for every shape, for `asarray` too.
        return jax.device_put(file.get_tensor(name).astype(kind, copy=False))
    stored = file.get_slice(name)
    shape = tuple(stored.get_shape())

    def part(index):
        return stored[index].astype(kind)

    return jax.make_array_from_callback(shape, sharding, part, dtype=kind)


def check_params(path: str | Path, like: Params) -> None:
    """Refuse what `load_params` refuses, without reading a tensor.

    Raises:
      InputError: as `load_params` does.
    """
    with tensor_files.open_tensors(path) as file:
        _check(path, file, by_name(like))


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Read the shapes by dotted name, without reading a tensor.

    Raises:
      InputError: there is no such file, or it is not a safetensors file.
    """
    with tensor_files.open_tensors(path) as file:
        return _shapes(file)


def load_metadata(path: str | Path) -> Metadata:
    """Read the metadata alone.

    Raises:
      InputError: there is no such file, or it is not a safetensors file.
    """
    with tensor_files.open_tensors(path) as file:
        entries = dict(file.metadata() or {})
    entries.pop(tensor_files.CHECKSUM, None)
    with input_errors("checkpoint", "give a file that full4d wrote"):
        metadata = {
            key: parse_json(value, f"{path}, metadata {key:.60}")
            for key, value in entries.items()
        }
        require_layout(metadata, METADATA, f"{path}, metadata")
    return metadata


def require_model(path: str | Path, model: Any, *, free: tuple[str, ...] = ()) -> None:
    """Refuse a checkpoint of another model; fields that its metadata do not name have defaults.

    Heads, rotary angles and much else have the same shapes and would give garbage.

    Args:
      path: of the checkpoint.
      model: the model that it should be, a dataclass.
      free: fields that may differ, with what is nested in them, besides those that say how to
        compute the same.

    Raises:
      InputError: as `load_metadata` does, or a field differs; the message names the first.
    """
    metadata = load_metadata(path)
    if "model" not in metadata:
        return
    free = (*free, "precision", "remat", "gpu_attention")
    wanted, defaults, stored = (
        by_name(json.loads(json.dumps(x)))
        for x in (to_dict(model), to_dict(type(model)()), metadata["model"])
    )
    for name in (*wanted, *stored):
        value = wanted.get(name)
        found = stored.get(name, defaults.get(name))
        if not name.startswith(free) and found != value:
            do = "use the config, and the version, that it was trained with"
            raise InputError("checkpoint", f"{path}, model.{name}", found, value, do)


def model_of_metadata(path: str | Path, kind: type[Model]) -> Model:
    """Return the sizes of a network in the metadata of its weights.

    Args:
      path: of the weights.
      kind: the dataclass of the sizes.

    Raises:
      InputError: as `load_metadata` does, or they are missing, or no network has them; the message
        names the field.
    """
    where = f"{path}, metadata model"
    do = "give a file that full4d wrote"
    sizes = load_metadata(path).get("model", {})
    names = {field.name for field in dataclasses.fields(cast(Any, kind))}
    if sizes.keys() != names:
        found = f"other metadata ({', '.join(sizes)})"
        expected = f"the fields {', '.join(sorted(names))}"
        raise InputError("checkpoint", where, found, expected, do)
    fields = {name: tuple(x) if isinstance(x, list) else x for name, x in sizes.items()}
    network = kind(**fields)
    for name, value, expected in misfits(network):
        raise InputError("checkpoint", f"{where}.{name}", repr(value), expected, do)
    return network


def summary_beside(weights: Path) -> dict[str, Any] | str:
    """Return the training summary that lies beside a file of weights, or else the file's path.

    Raises:
      InputError: the summary is not JSON.
    """
    summary = weights.with_suffix(".json")
    with input_errors("training summary", "mend it or move it away"):
        return load_json(summary) if summary.exists() else str(weights)


def _shapes(file: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(file.get_slice(name).get_shape()) for name in list(file.keys())}


def _check(path: str | Path, file: Any, like: Params | None) -> None:
    """Refuse tensors that are no floats, or whose names or shapes are not those of `like`."""
    shapes = _shapes(file)
    wanted = (
        shapes if like is None else {name: tuple(x.shape) for name, x in like.items()}
    )
    for name in sorted(shapes.keys() | wanted.keys()):
        where = f"{path}, tensor {name}"
        found, expected = (x.get(name, "no such tensor") for x in (shapes, wanted))
        if found != expected:
            do = "use the config and version of its training, and the whole file"
            raise InputError("checkpoint", where, found, expected, do)
        tensor_files.require_float(where, file.get_slice(name).get_dtype())
