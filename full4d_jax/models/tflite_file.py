"""Tensors of networks published as .tflite files, read without TensorFlow.

Such a file is a FlatBuffer (https://flatbuffers.dev/internals): a table starts with the distance
back to its vtable, which has the place of each field by number, 0 for those that are left out.
Numbers of fields are those of TensorFlow Lite's schema.fbs.
"""

import struct
from pathlib import Path

import numpy as np
from numpy import ndarray

from full4d_jax.session.errors import InputError, require_file

WHAT = "weights"
EXPECTED = "a .tflite file with floats of 32 bits"
IDENTIFIER = b"TFL3"
FLOAT32 = 0  # of the schema's TensorType
# Fields of Model.
SUBGRAPHS = 2
BUFFERS = 4
TENSORS = 0  # of SubGraph
# Fields of Tensor.
SHAPE = 0
TYPE = 1
BUFFER = 2
NAME = 3
DATA = 0  # of Buffer


def read_tflite(path: Path) -> dict[str, ndarray]:
    """Read the constant float32 tensors of a file's first graph, by name.

    Raises:
      InputError: there is no such file, or it is no whole .tflite file.
    """
    require_file(WHAT, path, EXPECTED, "check the path")
    data = path.read_bytes()
    if data[4:8] != IDENTIFIER:
        raise InputError(WHAT, path, "no TFL3 at its start", EXPECTED, "download it again")
    try:
        return _constants(data)
    except (struct.error, ValueError, IndexError) as error:
        raise InputError(WHAT, path, error, EXPECTED, "download it again") from None


def _constants(data: bytes) -> dict[str, ndarray]:
    model = _follow(data, 0)
    graph = _tables(data, _field(data, model, SUBGRAPHS))[0]
    buffers = _tables(data, _field(data, model, BUFFERS))
    tensors = {}
    for tensor in _tables(data, _field(data, graph, TENSORS)):
        kind = _field(data, tensor, TYPE)
        number = _field(data, tensor, BUFFER)
        stored = _field(data, buffers[_uint(data, number)], DATA) if number else 0
        if not stored or (kind and data[kind] != FLOAT32):
            continue  # what the graph computes, and sizes of what it resizes
        start, size = _vector(data, stored)
        values = np.frombuffer(data, "<f4", size // 4, start)
        sides = _field(data, tensor, SHAPE)
        start, axes = _vector(data, sides) if sides else (0, 0)
        shape = struct.unpack_from(f"<{axes}i", data, start)
        start, letters = _vector(data, _field(data, tensor, NAME))
        tensors[data[start : start + letters].decode()] = values.reshape(shape)
    return tensors


def _uint(data: bytes, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


def _follow(data: bytes, at: int) -> int:
    """Return where an offset leads."""
    return at + _uint(data, at)


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a table's field; 0 where it is left out."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    entry = 4 + 2 * number
    if entry >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    distance = struct.unpack_from("<H", data, vtable + entry)[0]
    return table + distance if distance else 0


def _vector(data: bytes, at: int) -> tuple[int, int]:
    """Return the first byte and the length of the vector that a field leads to."""
    vector = _follow(data, at)
    return vector + 4, _uint(data, vector)


def _tables(data: bytes, at: int) -> list[int]:
    """Return the places of the tables that a field's vector leads to."""
    start, count = _vector(data, at)
    if count > len(data) // 4:
        raise ValueError(f"{count} tables in {len(data)} bytes")
    return [_follow(data, start + 4 * i) for i in range(count)]
