"""Tensors of published checkpoints, .safetensors or PyTorch's .pth, read without PyTorch.

A .pth file is a zip archive: `data.pkl` describes the tensors, `data/*` holds their bytes. Pickles
can run programs; this reader knows tensors and dictionaries and refuses everything else.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy import ndarray

from full4d_jax.models.safetensors_files import open_tensors
from full4d_jax.models.weights import require_float
from full4d_jax.session.errors import InputError, require_file
from input_pipeline.plain_files import check_members

KINDS = {
    "FloatStorage": np.dtype(np.float32),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
}

# SHA-256 of what was published as pickles: as other programs list them.
PUBLISHED = {
    "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981": "Wan2.1_VAE.pth",
    "20eb789667fa5e60e7516bf509512f6cb61f01b0aa0695eadaea930c13892b36": "Wan2.2_VAE.pth",
}


def read_tensors(path: Path) -> dict[str, ndarray]:
    """Read all tensors of a file by name, in the types they are stored in.

    Raises:
      InputError: there is no such file, or it does not hold floating-point tensors in either
        format.
    """
    require_file("weights", path, "a .safetensors or .pth file", "check the path")
    if _is_archive(path):
        return _read_pth(path)
    with open_tensors(path, "weights", "a .safetensors or .pth file") as file:
        names = list(file.keys())
        for name in names:
            require_float(f"{path}, tensor {name}", file.get_slice(name).get_dtype())
        return {name: file.get_tensor(name) for name in names}


def _is_archive(path: Path) -> bool:
    """Return whether a file is a zip archive, damaged ones included."""
    try:
        return zipfile.is_zipfile(path)
    except Exception:  # an archive, but a damaged one
        return True


def _read_pth(path: Path) -> dict[str, ndarray]:
    """Read the dictionary of tensors that `torch.save` wrote."""
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive)
            names = archive.namelist()
            root = next(name for name in names if name.endswith("/data.pkl"))[: -len("data.pkl")]
            with archive.open(f"{root}data.pkl") as file:
                content = _Unpickler(file, archive, root).load()
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        do = "save it again with torch.save(state_dict)"
        raise InputError("weights", path, found, "a dictionary of tensors", do) from None
    if not (isinstance(content, dict) and all(isinstance(x, ndarray) for x in content.values())):
        do = "save its state_dict alone"
        raise InputError("weights", path, type(content).__name__, "a dictionary of tensors", do)
    return dict(content)


class _Unpickler(pickle.Unpickler):
    """A reader of pickles that knows how `torch.save` writes tensors, and nothing else."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, or refuse one that no tensor needs."""
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        }
        known |= {("torch", kind): dtype for kind, dtype in KINDS.items()}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is not a tensor of floating-point type")
        return known[module, name]

    def persistent_load(self, pid: tuple[str, np.dtype, str, str, int]) -> ndarray:
        """Return the numbers of one storage."""
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._root}data/{key}"), dtype)


def _tensor(
    storage: ndarray, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> ndarray:
    """Return a tensor's view of its storage, or refuse one that reaches beyond it."""
    reach = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or (all(shape) and offset + reach >= storage.size):
        tensor = f"a tensor of shape {tuple(shape)}, strides {tuple(strides)}, from {offset} on"
        raise pickle.UnpicklingError(f"{tensor} reaches beyond its {storage.size} numbers")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)
