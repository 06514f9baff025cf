"""Networks that Caffe2 published as protocol buffers, read without Caffe2.

A file is one `NetDef`, a list of operators; a network is two of them, `NAME.pb` with its layers and
`NAME_init.pb` with operators that fill its tensors. The numbers of the fields below are those of
caffe2/proto/caffe2.proto, the encoding is https://protobuf.dev/programming-guides/encoding.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from full4d_jax.session.errors import InputError, input_errors, require_file

# Wire types of protocol buffers.
VARINT = 0
EIGHT_BYTES = 1
BYTES = 2
FOUR_BYTES = 5
NET_OPERATOR = 2  # fields of NetDef, OperatorDef and Argument
OPERATOR_INPUT = 1
OPERATOR_OUTPUT = 2
OPERATOR_KIND = 4
OPERATOR_ARGUMENT = 5
ARGUMENT_NAME = 1
ARGUMENT_FLOAT = 2
ARGUMENT_INT = 3
ARGUMENT_BYTES = 4
ARGUMENT_INTS = 6
Value = float | int | bytes | list[int]


class Operator(NamedTuple):
    """One operator of a network.

    Attributes:
      kind: what it computes, such as `Int8Conv`.
      inputs: names of the tensors that it takes.
      output: name of the tensor that it gives.
      arguments: its settings by name.
    """

    kind: str
    inputs: list[str]
    output: str
    arguments: dict[str, Value]


class Quantised(NamedTuple):
    """A tensor of integers q that stand for the real numbers (q - zero) * scale."""

    integers: ndarray
    scale: float
    zero: int


def read_operators(path: Path) -> list[Operator]:
    """Read the operators of a file, in their order.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    require_file("weights", path, "a Caffe2 .pb file", "check the path")
    try:
        net = path.read_bytes()
        operators = [
            _operator(content)
            for field, content in _fields(net)
            if field == NET_OPERATOR and isinstance(content, bytes)
        ]
    except (IndexError, KeyError, TypeError, UnicodeDecodeError, ValueError, struct.error) as error:
        do = "give the file as published"
        raise InputError("weights", path, repr(error), "a Caffe2 .pb file", do) from None
    if not operators:
        raise InputError("weights", path, "no operators", "a Caffe2 .pb file", "check the path")
    return operators


def read_quantised(path: Path) -> dict[str, Quantised]:
    """Read the tensors that a `_init.pb` file fills, by name.

    Raises:
      InputError: there is no such file, or it does not hold 8-bit weights.
    """
    tensors = {}
    for operator in read_operators(path):
        if operator.kind not in ("Int8GivenTensorFill", "Int8GivenIntTensorFill"):
            do = "give the file as published"
            raise InputError("weights", path, operator.kind, "fills of 8-bit tensors", do)
        with input_errors("weights", "give the file as published", path):
            values = operator.arguments["values"]
            shape = np.asarray(operator.arguments["shape"], np.int64)
            if isinstance(values, bytes):
                integers = np.frombuffer(values, np.uint8)
            else:
                integers = np.asarray(values, np.int32)
            scale, zero = quantisation(operator)
            tensors[operator.output] = Quantised(integers.reshape(tuple(shape)), scale, zero)
    return tensors


def quantisation(operator: Operator) -> tuple[float, int]:
    """Return scale and zero point of the operator's output."""
    scale = operator.arguments["Y_scale"]
    zero = operator.arguments.get("Y_zero_point", 0)
    if not isinstance(scale, float) or not isinstance(zero, int):
        raise TypeError(f"a scale {scale!r:.60} and a zero point {zero!r:.60}")
    return scale, zero


def _operator(message: bytes) -> Operator:
    parts: dict[int, list[bytes]] = {}
    for field, value in _fields(message):
        if isinstance(value, bytes):
            parts.setdefault(field, []).append(value)
    return Operator(
        kind=parts[OPERATOR_KIND][0].decode(),
        inputs=[name.decode() for name in parts.get(OPERATOR_INPUT, [])],
        output=parts[OPERATOR_OUTPUT][0].decode(),
        arguments=dict(_argument(value) for value in parts.get(OPERATOR_ARGUMENT, [])),
    )


def _argument(message: bytes) -> tuple[str, Value]:
    """Return name and value of a setting."""
    name = ""
    value = None
    integers = []
    for field, content in _fields(message):
        if field == ARGUMENT_NAME and isinstance(content, bytes):
            name = content.decode()
        elif field == ARGUMENT_FLOAT and isinstance(content, bytes):
            value = struct.unpack("<f", content)[0]
        elif field == ARGUMENT_INTS and isinstance(content, bytes):
            integers += [_signed(number) for number in _varints(content)]
        elif field == ARGUMENT_INTS and isinstance(content, int):
            integers.append(_signed(content))
        elif field == ARGUMENT_INT and isinstance(content, int):
            value = _signed(content)
        elif field == ARGUMENT_BYTES and isinstance(content, bytes):
            value = content
    return name, integers if value is None else value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and content of each field of a message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        field = key >> 3
        wire = key & 7
        if wire == VARINT:
            value, place = _varint(message, place)
            yield field, value
            continue
        sizes = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
        if wire == BYTES:
            size, place = _varint(message, place)
        else:
            size = sizes[wire]
        if place + size > len(message):
            raise ValueError("the file ends inside a field")
        yield field, message[place : place + size]
        place += size


def _varints(packed: bytes) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """Return an integer of 7 bits a byte, lowest first, and the place after it."""
    result = 0
    shift = 0  # bits
    while True:
        byte = message[place]
        place += 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result, place


def _signed(number: int) -> int:
    """Return a 64-bit integer in two's complement as a signed one."""
    return number - 2**64 if number >= 2**63 else number
