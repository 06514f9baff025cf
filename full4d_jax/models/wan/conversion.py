"""Wan's published weights into a checkpoint of ours and back, one tensor in memory at a time.

Nothing is rounded: a tensor keeps its type (float32 or bfloat16), float16 becomes float32, and
where the layers that are stacked differ the stack is float32. What Wan has no weights for (camera
linears, projectors, the embedding of the mask) starts as the identity.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from full4d_jax.config import ModelConfig, to_dict
from full4d_jax.models.safetensors_files import Slot, open_tensors, write_safetensors
from full4d_jax.models.wan.architecture import abstract_leaves, check_config_json
from full4d_jax.models.wan.names import (
    ADDED,
    LAYOUTS,
    Layout,
    LeafPlace,
    check_wan_model,
    from_wan,
    to_wan,
    wan_names,
)
from full4d_jax.models.weights import require_float
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.plain_files import load_json

KINDS = {"F32": np.float32, "F16": np.float32, "BF16": jnp.bfloat16}  # stored: kept as
EXPECTED = "a folder with Wan's .safetensors files, or one such file"


class Stored(NamedTuple):
    """A tensor in a file that has not been read."""

    file: Path
    name: str  # in that file
    kind: str  # as safetensors calls it
    shape: tuple[int, ...]


def import_wan(model: ModelConfig, source: Path, target: Path) -> Layout:
    """Write the checkpoint `target` (.safetensors) of `model` from Wan's weights in `source`.

    Args:
      model: a preset of Wan; its added parameters start as the identity.
      source: a folder of shards (with or without an index) or a single file, in either layout.
      target: the file to write.

    Returns:
      The layout that was found.

    Raises:
      InputError: there is no such folder, the target is there already, the weights are those of
        another model, or tensors are missing, left over, stored twice, of another shape,
        quantised, or not finite.
    """
    check_wan_model(model)
    if target.exists():
        raise InputError("option --to", target, "something there already", "a new file", "name one")
    stored = _stored(source)
    layout = _layout(source, stored)
    names = wan_names(model.layers, layout)
    leaves = abstract_leaves(model)
    about = source / "config.json" if source.is_dir() else source.with_name("config.json")
    if about.is_file():
        check_config_json(model, about)
    _check_names(source, stored, names)
    _check_tensors(model, source, stored, names, leaves)

    dtypes = {leaf: np.dtype(np.float32) for leaf in leaves}
    for leaf in leaves:
        kinds = {KINDS[stored[n].kind] for n, place in names.items() if place.leaf == leaf}
        if len(kinds) == 1:
            dtypes[leaf] = np.dtype(kinds.pop())
    slots = {leaf: Slot(dtypes[leaf], x.shape) for leaf, x in leaves.items()}
    metadata = {"model": to_dict(model), "origin": f"Wan, {layout} layout"}

    def pieces() -> Iterator[tuple[str, int | None, np.ndarray]]:
        for leaf, x in leaves.items():
            if leaf.startswith("blocks.") and leaf.startswith(ADDED):
                for layer in range(model.layers):
                    yield leaf, layer, initial_value(leaf, x.shape[1:])
            elif leaf.startswith(ADDED):
                yield leaf, None, initial_value(leaf, x.shape)
        by_file = sorted(names.items(), key=lambda item: stored[item[0]].file)
        for name, (leaf, layer) in by_file:
            tensor = _read(stored[name])
            if bad := int(np.count_nonzero(~np.isfinite(tensor))):
                where = f"{source}, tensor {name}"
                expected = "finite ones"
                found = f"{bad} NaN or infinite values"
                do = "download it again"
                raise InputError("weights", where, found, expected, do)
            yield leaf, layer, from_wan(leaf, tensor).astype(dtypes[leaf])

    write_safetensors(target, slots, pieces(), {k: json.dumps(v) for k, v in metadata.items()})
    return layout


def initial_value(leaf: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the initial value of an added parameter, which adds nothing or passes tokens on."""
    if leaf == "blocks.projector.kernel":
        return np.broadcast_to(np.eye(shape[-1], dtype=np.float32), shape)
    if leaf == "blocks.synchronization.mix.kernel" and shape[-2] == 2 * shape[-1]:  # hard: the mean
        half = np.eye(shape[-1], dtype=np.float32) / 2
        return np.broadcast_to(np.concatenate([half, half]), shape)
    return np.broadcast_to(np.float32(0), shape)


def _stored(source: Path) -> dict[str, Stored]:
    """Read the headers of all tensors, by name without ComfyUI's prefix."""
    tensors: dict[str, Stored] = {}
    for path in _files(source):
        with open_tensors(path, "weights", "a whole safetensors file") as file:
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                short = name.removeprefix("model.diffusion_model.")
                if short in tensors:
                    found = f"also in {tensors[short].file.name}"
                    do = "leave one of them away"
                    where = f"{path}, tensor {name}"
                    raise InputError("weights", where, found, "every tensor once", do)
                shape = tuple(part.get_shape())
                tensors[short] = Stored(path, name, part.get_dtype(), shape)
    return tensors


def _files(source: Path) -> list[Path]:
    """Return the files of weights: the one given, or those of an index or a folder."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise InputError("weights", source, "no such folder", EXPECTED, "check the path")
    files = sorted(source.glob("*.safetensors"))
    for index in sorted(source.glob("*.safetensors.index.json"))[:1]:
        with input_errors("weights", "download it again", index):
            named = sorted(set(load_json(index)["weight_map"].values()))
        files = [source / name for name in named]
    if not files:
        do = "give the folder of the transformer's weights"
        raise InputError("weights", source, "no .safetensors file", EXPECTED, do)
    return files


def _layout(source: Path, stored: dict[str, Stored]) -> Layout:
    """Return the layout with which more names of one block agree."""
    hits = {layout: sum(name in stored for name in wan_names(1, layout)) for layout in LAYOUTS}
    if max(hits.values()) <= 2:  # both call the patch embedding the same
        found = f"{len(stored)} tensors such as {min(stored, default='none')}"
        do = "give the weights of the transformer, not of the VAE or the text encoder"
        raise InputError("weights", source, found, "the transformer of Wan 2.1 or 2.2", do)
    return max(LAYOUTS, key=lambda layout: hits[layout])


def _check_names(source: Path, stored: dict[str, Stored], names: dict[str, LeafPlace]) -> None:
    """Refuse tensors that are missing or left over."""
    for what, lost in (("no", set(names) - set(stored)), ("left over", set(stored) - set(names))):
        if lost:
            first = ", ".join(sorted(lost)[:3]) + (" ..." if len(lost) > 3 else "")
            found = f"{what} {first} ({len(lost)} of {len(names)} tensors)"
            do = "give all shards of one text-to-video model and nothing else"
            raise InputError("weights", source, found, "every tensor exactly once", do)


def _check_tensors(
    model: ModelConfig,
    source: Path,
    stored: dict[str, Stored],
    names: dict[str, LeafPlace],
    leaves: dict[str, jax.ShapeDtypeStruct],
) -> None:
    """Refuse tensors of other shapes or types before anything is written."""
    for name, (leaf, layer) in names.items():
        where = f"{source}, tensor {name}"
        wanted = wan_shape(leaf, leaves[leaf].shape[layer is not None :], model)
        if stored[name].shape != wanted:
            do = "give the preset of that model"
            raise InputError("weights", where, stored[name].shape, wanted, do)
        require_float(where, stored[name].kind)


def wan_shape(leaf: str, shape: tuple[int, ...], model: ModelConfig) -> tuple[int, ...]:
    """Return the shape that (one layer of) a parameter of ours has in Wan's layouts."""
    return to_wan(leaf, np.broadcast_to(np.float32(0), shape), model.patch).shape


def _read(tensor: Stored) -> Any:
    with safe_open(tensor.file, framework="numpy") as file:
        return file.get_tensor(tensor.name)
