"""Files of tensors: .safetensors, also written piece by piece, and PyTorch's .pth without PyTorch.

Whatever is wrong with one that is opened is described in one line.

A safetensors file is a little-endian 64-bit length, that many bytes of JSON, then the tensors'
bytes: https://github.com/huggingface/safetensors#format. The library writes it from memory only,
and weights may not fit there. It has no checksum; ours stands in the metadata.

A .pth file is a zip archive: `data.pkl` describes the tensors, `data/*` holds their bytes. Pickles
can run programs; this reader knows tensors and dictionaries and refuses everything else.
"""

import contextlib
import json
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy import ndarray
from safetensors import SafetensorError, safe_open

from full4d_jax.session.errors import InputError, input_errors, require_file
from input_pipeline import whole_files
from input_pipeline.plain_files import (
    check_field,
    check_members,
    damage_of,
    open_regular,
)

NAMES = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(jnp.bfloat16): "BF16",
    np.dtype(np.uint8): "U8",
}
# In the metadata: of the header with `NONE` in its place, and of the tensors.
CHECKSUM = "crc32"
NONE = json.dumps("0" * 8)
FLOATS = ("F32", "F16", "BF16")
# The first bytes of a zip archive.
ZIP = b"PK\3\4"
# Name, index into the tensor's first axis or None for all of it, and values.
Pieces = Iterator[tuple[str, int | None, ndarray]]
# What safetensors and numpy raise for headers that claim what cannot be.
DAMAGED = (SafetensorError, RecursionError, ValueError, OverflowError, OSError)
# SHA-256 of what was published as pickles: as other programs list them.
PUBLISHED = {
    "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981": "Wan2.1_VAE.pth",
    "20eb789667fa5e60e7516bf509512f6cb61f01b0aa0695eadaea930c13892b36": "Wan2.2_VAE.pth",
}


@contextlib.contextmanager
def open_tensors(
    path: str | Path,
    what: str = "checkpoint",
    expected: str = "a safetensors file by full4d",
) -> Iterator[Any]:
    """Open a file, whose tensors are read as numpy's.

    Args:
      path: of the file.
      what: the kind of thing that it is, for the message.
      expected: what it should be.

    Raises:
      InputError: there is none, or it is damaged, also where that shows while it is read.
    """
    do = "check the path"
    require_file(what, path, expected, do)
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(what, path, error, expected, do) from error


def require_whole(path: str | Path, metadata: dict[str, str]) -> None:
    """Refuse an opened file whose bytes are not those that were written.

    Files of others, and those of earlier programs, have no checksum and pass.

    Args:
      path: of the file.
      metadata: of its header.

    Raises:
      InputError: naming the file.
    """
    if CHECKSUM not in metadata:
        return
    written = metadata[CHECKSUM]
    with open_regular(Path(path)) as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
        present = _checksum(file, header.replace(_entry(written), _entry(NONE)))
    if present != written:
        found = f"damaged bytes, of checksum {present}"
        expected = f"the bytes that were written, of checksum {written}"
        raise InputError("checkpoint", path, found, expected, "get the file again")


def _entry(checksum: str) -> bytes:
    """Return the part of a header that holds the checksum."""
    return f"{json.dumps(CHECKSUM)}: {json.dumps(checksum)}".encode()


def _checksum(file: BinaryIO, header: bytes) -> str:
    """Return the checksum of a header and of the tensors behind it, as JSON."""
    block_bytes = 2**18
    file.seek(8 + len(header))
    checksum = zlib.crc32(header)
    while block := file.read(block_bytes):
        checksum = zlib.crc32(block, checksum)
    return json.dumps(f"{checksum:08x}")


def require_float(where: str, kind: str) -> None:
    """Refuse a tensor by its type, as safetensors calls it.

    Raises:
      InputError: it is no float of 16 or 32 bits; the message names the tensor by `where`.
    """
    if kind not in FLOATS:
        do = "give unquantised floats of 16 or 32 bits"
        raise InputError("weights", where, kind, ", ".join(FLOATS), do)


def check_names(path: Path, stored: Collection[str], expected: Collection[str]) -> None:
    """Refuse a file, or a folder of them, without exactly the tensors that are expected.

    Raises:
      ValueError: tensors are missing or left over; the message names the first.
    """
    names = set(expected)
    for what, lost in (("no", names - set(stored)), ("left over", set(stored) - names)):
        first = ", ".join(sorted(lost)[:3]) + (" ..." if len(lost) > 3 else "")
        found = f"{what} {first} ({len(lost)} of {len(names)} tensors)"
        check_field(path, not lost, found, "every tensor exactly once")


def read_tensors(path: Path) -> dict[str, ndarray]:
    """Read all tensors of a file by name, in the types they are stored in.

    Raises:
      InputError: there is no such file, or it does not hold floating-point tensors in either
        format.
    """
    require_file("weights", path, "a .safetensors or .pth file", "check the path")
    with path.open("rb") as file:
        is_archive = file.read(len(ZIP)) == ZIP
    if is_archive:
        return _read_pth(path)
    with open_tensors(path, "weights", "a .safetensors or .pth file") as file:
        names = list(file.keys())
        for name in names:
            require_float(f"{path}, tensor {name}", file.get_slice(name).get_dtype())
        return {name: file.get_tensor(name) for name in names}


class Slot(NamedTuple):
    """Type and shape of a tensor to be written."""

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Return the size of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_safetensors(
    path: Path, slots: dict[str, Slot], pieces: Pieces, metadata: dict[str, str]
) -> None:
    """Write a file piece by piece; it appears when it is complete.

    Args:
      path: the file.
      slots: types and shapes of all tensors by name.
      pieces: in any order, each byte once.
      metadata: kept in the header, with a checksum.
    """
    header: dict[str, object] = {"__metadata__": metadata | {CHECKSUM: NONE}}
    starts = {}
    end = 0
    for name, slot in slots.items():
        offsets = (end, end + slot.bytes)
        header[name] = {
            "dtype": NAMES[slot.dtype],
            "shape": slot.shape,
            "data_offsets": offsets,
        }
        starts[name], end = offsets
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with whole_files.whole_file(path) as partial, partial.open("w+b") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, index, values in pieces:
            dtype, shape = slots[name]
            assert values.shape == (shape if index is None else shape[1:]), name
            data = np.ascontiguousarray(values, dtype)
            file.seek(8 + len(text) + starts[name] + (index or 0) * data.nbytes)
            file.write(data.tobytes())
            written += data.nbytes
        assert written == end, f"{written} of {end} bytes"
        checksum = _checksum(file, text)
        file.seek(8)
        file.write(text.replace(_entry(NONE), _entry(checksum)))


def _read_pth(path: Path) -> dict[str, ndarray]:
    """Read the dictionary of tensors that `torch.save` wrote."""
    expected = "a dictionary of tensors"
    do = "save its state_dict alone, with torch.save"
    with input_errors("weights", do), damage_of(path, expected):
        with zipfile.ZipFile(path) as archive:
            check_members(archive)
            pickled = next(x for x in archive.namelist() if x.endswith("/data.pkl"))
            root = pickled.removesuffix("data.pkl")
            with archive.open(pickled) as file:
                tensors = dict(_Unpickler(file, archive, root).load())
        for name, x in tensors.items():
            kind = type(x).__name__
            check_field(f"{path}, {name}", kind == "ndarray", kind, "a tensor")
    return tensors


class _Unpickler(pickle.Unpickler):
    """A reader of pickles that knows how `torch.save` writes tensors, and nothing else."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str):
        super().__init__(file)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for, or refuse one that no tensor needs."""
        found = KNOWN.get(f"{module}.{name}")
        if found is None:
            text = f"{module}.{name} is not a tensor of floating-point type"
            raise pickle.UnpicklingError(text)
        return found

    def persistent_load(self, pid: tuple[str, np.dtype, str, str, int]) -> ndarray:
        """Return the numbers of one storage."""
        _, dtype, key, _, _ = pid
        return np.frombuffer(self._archive.read(f"{self._root}data/{key}"), dtype)


def _tensor(
    storage: ndarray,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    *_: Any,
) -> ndarray:
    """Return a tensor's view of its storage, or refuse one that reaches beyond it."""
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if min((offset, *shape, *strides)) < 0 or (all(shape) and last >= storage.size):
        tensor = (
            f"a tensor of shape {tuple(shape)}, strides {tuple(strides)}, from {offset}"
        )
        text = f"{tensor} reaches beyond its {storage.size} numbers"
        raise pickle.UnpicklingError(text)
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(
        storage[offset:], shape, steps, writeable=False
    )


# What a name in a pickle stands for.
KNOWN = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.FloatStorage": np.dtype(np.float32),
    "torch.HalfStorage": np.dtype(np.float16),
    "torch.BFloat16Storage": np.dtype(jnp.bfloat16),
}
