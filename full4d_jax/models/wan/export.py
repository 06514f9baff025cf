"""A checkpoint of ours as a folder that diffusers' `WanTransformer3DModel.from_pretrained` loads.

Shards are written one tensor at a time, in the types that the checkpoint has. Wan has no place for
cameras, projectors and the embedding of the mask: they are left out, and those trained are named.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from full4d_jax.config import ModelConfig
from full4d_jax.models.safetensors_files import Slot, open_tensors, write_safetensors
from full4d_jax.models.wan.architecture import abstract_leaves, diffusers_config
from full4d_jax.models.wan.conversion import KINDS, initial_value, wan_shape
from full4d_jax.models.wan.names import ADDED, check_wan_model, to_wan, wan_names
from full4d_jax.models.weights import require_float
from full4d_jax.session.errors import InputError
from input_pipeline.whole_files import write_text


def export_wan(
    model: ModelConfig, source: Path, folder: Path, shard_bytes: int = 5 * 10**9
) -> list[str]:
    """Write the checkpoint `source` of `model` in diffusers' layout.

    Args:
      model: a preset of Wan.
      source: a checkpoint (.safetensors) of that model.
      folder: gets config.json, the shards, and their index if they are more than one.
      shard_bytes: largest size of a shard.

    Returns:
      The names of trained parameters that Wan has no place for, and that are left out.

    Raises:
      InputError: the checkpoint is not of this model, or the folder has weights already.
    """
    check_wan_model(model)
    _check(model, source)
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        do = "give a new one"
        raise InputError("folder", folder, "something there already", "an empty folder", do)
    leaves = abstract_leaves(model)
    slots = {}
    with safe_open(source, framework="numpy") as file:
        for name, (leaf, layer) in wan_names(model.layers, "diffusers").items():
            shape = leaves[leaf].shape[layer is not None :]
            dtype = np.dtype(KINDS[file.get_slice(leaf).get_dtype()])
            slots[name] = Slot(dtype, wan_shape(leaf, shape, model))
    shards = _shards(slots, shard_bytes)
    weight_map = {}
    for number, names in enumerate(shards, 1):
        stem = "diffusion_pytorch_model"
        if len(shards) > 1:
            stem += f"-{number:05d}-of-{len(shards):05d}"
        weight_map |= dict.fromkeys(names, f"{stem}.safetensors")
        write_safetensors(
            folder / f"{stem}.safetensors",
            {name: slots[name] for name in names},
            _pieces(source, model, names),
            {"format": "pt"},
        )
    if len(shards) > 1:
        total = {"total_size": sum(_bytes(slot) for slot in slots.values())}
        index = {"metadata": total, "weight_map": weight_map}
        _write_json(folder / "diffusion_pytorch_model.safetensors.index.json", index)
    _write_json(folder / "config.json", diffusers_config(model))
    return [leaf for leaf in leaves if leaf.startswith(ADDED) and _is_trained(model, source, leaf)]


def _check(model: ModelConfig, source: Path) -> None:
    """Refuse a checkpoint whose header has other names, shapes or types."""
    do = "give the checkpoint's own config"
    wanted = {leaf: tuple(x.shape) for leaf, x in abstract_leaves(model).items()}
    with open_tensors(source, expected="a checkpoint of ours") as file:
        names = list(file.keys())
        stored = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        for name in names:
            require_float(f"{source}, tensor {name}", file.get_slice(name).get_dtype())
    for name in sorted(wanted.keys() | stored.keys()):
        if wanted.get(name) != stored.get(name):
            where = f"{source}, tensor {name}"
            missing = "no such tensor"
            raise InputError(
                "checkpoint", where, stored.get(name, missing), wanted.get(name, missing), do
            )


def _pieces(
    source: Path, model: ModelConfig, names: list[str]
) -> Iterator[tuple[str, int | None, np.ndarray]]:
    """Yield the tensors of a shard, as `write_safetensors` takes them."""
    places = wan_names(model.layers, "diffusers")
    for name in names:
        yield name, None, to_wan(places[name].leaf, _read(source, *places[name]), model.patch)


def _read(source: Path, leaf: str, layer: int | None) -> np.ndarray:
    """Read a parameter or one layer of it; an open file would keep all that was read in memory."""
    with safe_open(source, framework="numpy") as file:
        return file.get_tensor(leaf) if layer is None else file.get_slice(leaf)[layer]


def _is_trained(model: ModelConfig, source: Path, leaf: str) -> bool:
    """Return whether an added parameter has left the identity."""
    layers = range(model.layers) if leaf.startswith("blocks.") else [None]
    parts = (_read(source, leaf, layer) for layer in layers)
    return any(not np.array_equal(x, initial_value(leaf, x.shape)) for x in parts)


def _shards(slots: dict[str, Slot], limit: int) -> list[list[str]]:
    """Return the names in order, cut where a shard would grow beyond the limit."""
    shards = [[]]
    size = 0
    for name, slot in slots.items():
        if shards[-1] and size + _bytes(slot) > limit:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += _bytes(slot)
    return shards


def _bytes(slot: Slot) -> int:
    return int(np.prod(slot.shape, dtype=np.int64)) * slot.dtype.itemsize


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
