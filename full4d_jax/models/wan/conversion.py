"""Wan's published weights into a checkpoint of ours and back, one tensor in memory at a time.

Nothing is rounded: a tensor keeps its type (float32 or bfloat16), float16 becomes float32, and
where the layers that are stacked differ the stack is float32. What Wan has no weights for (camera
linears, projectors, the embedding of the mask) starts as the identity. On the way back, a folder
that diffusers' `WanTransformer3DModel.from_pretrained` loads, it is left out.
"""

import json
from collections.abc import Collection
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open

from full4d_jax.config import ModelConfig, to_dict
from full4d_jax.models import tensor_files, weights
from full4d_jax.models.dit import dit
from full4d_jax.models.wan import layouts
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.plain_files import check_field, field, load_json
from input_pipeline.whole_files import write_text

# Types as safetensors calls them, and those in which tensors are kept.
KINDS = {"F32": np.float32, "F16": np.float32, "BF16": jnp.bfloat16}
EXPECTED = "a folder with Wan's .safetensors files, or one such file"
ADVICE = "give all shards of one text-to-video transformer, and the model's preset"
# Of ComfyUI's files.
PREFIX = "model.diffusion_model."


class Stored(NamedTuple):
    """A tensor in a file that has not been read.

    Attributes:
      file: the file.
      name: in that file.
      kind: its type, as safetensors calls it.
      shape: its shape.
    """

    file: Path
    name: str
    kind: str
    shape: tuple[int, ...]


@input_errors("weights", ADVICE)
def import_wan(model: ModelConfig, source: Path, target: Path) -> layouts.Layout:
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
    layouts.check_wan_model(model)
    if target.exists():
        found = "something there already"
        raise InputError("option --to", target, found, "a new file", "name one")
    stored = _stored(source)
    layout = _layout(model, source, stored)
    names = layouts.wan_names(model, layout)
    tensor_files.check_names(source, stored, names)
    leaves = layouts.abstract_leaves(model)
    about = (
        source / "config.json" if source.is_dir() else source.with_name("config.json")
    )
    if about.is_file():
        layouts.check_config_json(model, about)
    for name, place in names.items():
        found = stored[name].shape
        where = f"{source}, tensor {name}"
        check_field(where, found == place.shape, found, place.shape)

    slots = {}
    for leaf, x in leaves.items():
        kinds = {
            KINDS[stored[n].kind] for n, place in names.items() if place.leaf == leaf
        }
        kind = kinds.pop() if len(kinds) == 1 else np.float32
        slots[leaf] = tensor_files.Slot(np.dtype(kind), x.shape)

    def pieces() -> tensor_files.Pieces:
        for leaf in layouts.added_leaves(model):
            for layer in layouts.layers_of(model, leaf):
                shape = leaves[leaf].shape[layer is not None :]
                yield leaf, layer, initial_value(leaf, shape)
        for name in sorted(names, key=lambda name: stored[name].file):
            leaf, layer, _ = names[name]
            tensor = _read(stored[name].file, stored[name].name)
            bad = int(np.count_nonzero(~np.isfinite(tensor)))
            found = f"{bad} NaN or infinite values"
            check_field(f"{source}, tensor {name}", not bad, found, "finite ones")
            yield leaf, layer, layouts.from_wan(leaf, tensor).astype(slots[leaf].dtype)

    texts = {"model": to_dict(model), "origin": f"Wan, {layout} layout"}
    metadata = {name: json.dumps(x) for name, x in texts.items()}
    tensor_files.write_safetensors(target, slots, pieces(), metadata)
    return layout


def initial_value(leaf: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return the initial value of an added parameter, which adds nothing or passes tokens on."""
    value = np.zeros(1, np.float32)
    if leaf == "blocks.projector.kernel":
        value = np.eye(shape[-1], dtype=np.float32)
    # Hard: the mean.
    elif leaf == "blocks.synchronization.mix.kernel" and shape[-2] == 2 * shape[-1]:
        value = np.tile(np.eye(shape[-1], dtype=np.float32) / 2, (2, 1))
    return np.broadcast_to(value, shape)


def _stored(source: Path) -> dict[str, Stored]:
    """Read the headers of all tensors, by name without `PREFIX`."""
    found = []
    for path in _files(source):
        with tensor_files.open_tensors(
            path, "weights", "a whole safetensors file"
        ) as file:
            for name in list(file.keys()):
                part = file.get_slice(name)
                tensor_files.require_float(f"{path}, tensor {name}", part.get_dtype())
                stored = Stored(path, name, part.get_dtype(), tuple(part.get_shape()))
                found.append(stored)
    tensors: dict[str, Stored] = {}
    for x in found:
        short = x.name.removeprefix(PREFIX)
        where = f"{x.file}, tensor {x.name}"
        is_new = short not in tensors
        check_field(where, is_new, "it in another file, too", "every tensor once")
        tensors[short] = x
    return tensors


def _files(source: Path) -> list[Path]:
    """Return the files of weights: the one given, or those of an index or a folder."""
    if source.is_file():
        return [source]
    files = sorted(source.glob("*.safetensors"))
    for index in sorted(source.glob("*.safetensors.index.json"))[:1]:
        names = field(load_json(index), "weight_map", str(index)).values()
        files = [source / name for name in sorted(set(names))]
    check_field(source, files, "no .safetensors file", EXPECTED)
    return files


def _layout(
    model: ModelConfig, source: Path, stored: Collection[str]
) -> layouts.Layout:
    """Return the layout with which more names agree, if some do."""
    hits = {
        x: len(layouts.wan_names(model, x).keys() & stored) for x in layouts.LAYOUTS
    }
    layout = max(layouts.LAYOUTS, key=hits.__getitem__)
    # Both call the patch embedding the same.
    found = f"{len(stored)} tensors such as {min(stored, default='none')}"
    check_field(source, hits[layout] > 2, found, "the transformer of Wan 2.1 or 2.2")
    return layout


def export_wan(
    model: ModelConfig, source: Path, folder: Path, shard_bytes: int = 5 * 10**9
) -> list[str]:
    """Write the checkpoint `source` of `model` in diffusers' layout.

    Args:
      model: a preset of Wan.
      source: a checkpoint (.safetensors) of that model.
      folder: gets config.json, the shards, and their index if they are more than one.
      shard_bytes: about the size of a shard.

    Returns:
      The names of trained parameters that Wan has no place for, and that are left out.

    Raises:
      InputError: the checkpoint is not of this model, or the folder has weights already.
    """
    layouts.check_wan_model(model)
    weights.check_params(source, dit.abstract_params(model))
    if folder.exists() and (folder.is_file() or any(folder.iterdir())):
        do = "give a new one"
        raise InputError("folder", folder, "files", "an empty folder", do)
    places = layouts.wan_names(model, "diffusers")
    slots = {}
    with safe_open(source, framework="numpy") as file:
        for name, (leaf, _, shape) in places.items():
            kind = np.dtype(KINDS[file.get_slice(leaf).get_dtype()])
            slots[name] = tensor_files.Slot(kind, shape)
    ends = accumulate(slot.bytes for slot in slots.values())
    part_of = dict(zip(slots, (end // shard_bytes for end in ends), strict=True))
    shards = [list(names) for _, names in groupby(slots, part_of.get)]
    weight_map = {}
    for number, names in enumerate(shards, 1):
        stem = "diffusion_pytorch_model"
        if len(shards) > 1:
            stem += f"-{number:05d}-of-{len(shards):05d}"
        weight_map |= dict.fromkeys(names, f"{stem}.safetensors")
        tensor_files.write_safetensors(
            folder / f"{stem}.safetensors",
            {name: slots[name] for name in names},
            _pieces(source, model, {name: places[name] for name in names}),
            {"format": "pt"},
        )
    if len(shards) > 1:
        total = {"total_size": sum(slot.bytes for slot in slots.values())}
        index = {"metadata": total, "weight_map": weight_map}
        _write_json(folder / "diffusion_pytorch_model.safetensors.index.json", index)
    _write_json(folder / "config.json", layouts.diffusers_config(model))
    added = layouts.added_leaves(model)
    return [leaf for leaf in added if _is_trained(model, source, leaf)]


def _pieces(
    source: Path, model: ModelConfig, names: layouts.Places
) -> tensor_files.Pieces:
    """Yield the tensors of a shard, as `write_safetensors` takes them."""
    for name, (leaf, layer, _) in names.items():
        yield name, None, layouts.to_wan(leaf, _read(source, leaf, layer), model.patch)


def _read(source: Path, name: str, layer: int | None = None) -> np.ndarray:
    """Read a tensor or one layer of it; an open file would keep all that was read in memory."""
    with safe_open(source, framework="numpy") as file:
        return file.get_tensor(name) if layer is None else file.get_slice(name)[layer]


def _is_trained(model: ModelConfig, source: Path, leaf: str) -> bool:
    """Return whether an added parameter has left the identity."""
    parts = (_read(source, leaf, layer) for layer in layouts.layers_of(model, leaf))
    return any(not np.array_equal(x, initial_value(leaf, x.shape)) for x in parts)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
