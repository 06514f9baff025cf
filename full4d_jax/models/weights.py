"""Parameters as safetensors files: bfloat16 tensors under dotted names, and text metadata."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from full4d_jax.errors import InputError


def save_params(path: str | Path, params: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Write nested parameters in bfloat16; metadata values are stored as JSON."""
    tensors = {
        name: np.asarray(x, jnp.bfloat16) for name, x in flatten_dict(params, sep=".").items()
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {key: json.dumps(value) for key, value in metadata.items()})
    partial.chmod(0o644)  # the library keeps its files to their owner
    partial.replace(path)


def load_params(
    path: str | Path, like: dict[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read nested parameters as float32, and the metadata.

    Args:
      path: a file written by `save_params`.
      like: arrays or `ShapeDtypeStruct`s that names and shapes must agree with.

    Raises:
      InputError: no such file, not a safetensors file, or names or shapes that do not agree.
    """
    if not Path(path).is_file():
        found = "a folder" if Path(path).is_dir() else "no such file"
        raise InputError("checkpoint", path, found, "a safetensors file", "check the path")
    try:
        with safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, json.JSONDecodeError) as error:
        expected = "a safetensors file written by full4d"
        raise InputError("checkpoint", path, error, expected, "check the path") from None
    if like is not None:
        _check(path, tensors, flatten_dict(like, sep="."))
    arrays = {name: jnp.asarray(x, jnp.float32) for name, x in tensors.items()}
    return unflatten_dict(arrays, sep="."), metadata


def summary_beside(weights: Path) -> dict[str, Any] | str:
    """The training summary that lies beside a file of weights, or else the file's path."""
    summary = weights.with_suffix(".json")
    try:
        return json.loads(summary.read_text()) if summary.exists() else str(weights)
    except ValueError as error:
        do = "mend it or move it away"
        raise InputError("training summary", summary, f"no JSON ({error})", "JSON", do) from None


def _check(path: str | Path, tensors: dict[str, Any], like: dict[str, Any]) -> None:
    advice = "use the config that it was trained with"
    for name, x in like.items():
        found = tensors[name].shape if name in tensors else "no such tensor"
        if found != x.shape:
            raise InputError("checkpoint", f"{path}, tensor {name}", found, x.shape, advice)
    extra = sorted(set(tensors) - set(like))
    if extra:
        raise InputError("checkpoint", path, f"tensor {extra[0]}", "no such tensor", advice)
