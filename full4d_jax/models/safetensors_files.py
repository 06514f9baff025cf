"""Safetensors files: opened, and written piece by piece for weights that do not fit into memory.

Whatever is wrong with one that is opened is described in one line.

The format is a little-endian 64-bit length, that many bytes of JSON, then the tensors' bytes:
https://github.com/huggingface/safetensors#format. The library writes it from memory only. It has no
checksum; ours stands in the metadata.
"""

import contextlib
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

from full4d_jax.session.errors import InputError, require_file
from input_pipeline.opening import open_regular
from input_pipeline.whole_files import whole_file

NAMES = {
    np.dtype(np.float32): "F32",
    np.dtype(np.float16): "F16",
    np.dtype(jnp.bfloat16): "BF16",
    np.dtype(np.uint8): "U8",
}
CHECKSUM = "crc32"  # in the metadata: of the header with `NONE` in its place, and of the tensors
NONE = json.dumps("0" * 8)
# What safetensors and numpy raise for headers that claim what cannot be.
DAMAGED = (SafetensorError, RecursionError, ValueError, OverflowError, OSError)


@contextlib.contextmanager
def open_tensors(
    path: str | Path, what: str = "checkpoint", expected: str = "a safetensors file"
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
        expected = f"the bytes that were written, of checksum {written}"
        do = "get the file again"
        raise InputError("checkpoint", path, f"damaged bytes, of checksum {present}", expected, do)


def _entry(checksum: str) -> bytes:
    """Return the part of a header that holds the checksum."""
    return f"{json.dumps(CHECKSUM)}: {json.dumps(checksum)}".encode()


def _checksum(file: BinaryIO, header: bytes) -> str:
    """Return the checksum of a header and of the tensors behind it, as JSON."""
    block_bytes = 2**18  # that are read at once
    file.seek(8 + len(header))
    checksum = zlib.crc32(header)
    while block := file.read(block_bytes):
        checksum = zlib.crc32(block, checksum)
    return json.dumps(f"{checksum:08x}")


class Slot(NamedTuple):
    """Type and shape of a tensor to be written."""

    dtype: np.dtype
    shape: tuple[int, ...]


def write_safetensors(
    path: Path,
    slots: dict[str, Slot],
    pieces: Iterable[tuple[str, int | None, np.ndarray]],
    metadata: dict[str, str],
) -> None:
    """Write a file piece by piece; it appears when it is complete.

    Args:
      path: the file.
      slots: types and shapes of all tensors by name.
      pieces: name, index into the tensor's first axis or None for all of it, and values; in any
        order, each byte once.
      metadata: kept in the header, with a checksum.
    """
    header: dict[str, object] = {"__metadata__": metadata | {CHECKSUM: NONE}}
    starts = {}
    end = 0  # bytes of the tensors so far
    for name, (dtype, shape) in slots.items():
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": shape, "data_offsets": (end, end + size)}
        starts[name] = end
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with whole_file(path) as partial, partial.open("w+b") as file:
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
