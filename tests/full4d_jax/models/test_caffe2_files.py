"""Caffe2's protocol buffers, against messages that are encoded here by hand."""

import struct

import numpy as np
import pytest

from full4d_jax.models.caffe2_files import quantisation, read_operators, read_quantised
from full4d_jax.session.errors import InputError


def varint(number: int) -> bytes:
    number %= 2**64  # two's complement
    start = b""
    while number >= 128:
        start += bytes([number % 128 + 128])
        number //= 128
    return start + bytes([number])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def argument(name: str, value: bytes) -> bytes:
    return field(5, field(1, name.encode()) + value)


def scale(value: float) -> bytes:
    return argument("Y_scale", varint(2 << 3 | 5) + struct.pack("<f", value))


def operator(kind: bytes, output: bytes, arguments: bytes) -> bytes:
    return field(2, field(1, b"input") + field(2, output) + field(4, kind) + arguments)


def test_operators_and_their_arguments(tmp_path):
    zero, pads = argument("Y_zero_point", field(3, 128)), argument("pads", field(6, 1) * 4)
    net = field(1, b"a name") + operator(b"Int8Conv", b"out", scale(0.25) + zero + pads)
    (tmp_path / "net.pb").write_bytes(net)
    (found,) = read_operators(tmp_path / "net.pb")
    assert found.kind == "Int8Conv"
    assert found.inputs == ["input"]
    assert found.output == "out"
    assert found.arguments["pads"] == [1, 1, 1, 1]
    assert quantisation(found) == (0.25, 128)


def test_bytes_and_negative_integers_of_tensors(tmp_path):
    shape = argument("shape", field(6, varint(2) + varint(1)))  # packed
    weight = argument("values", field(4, bytes([3, 255]))) + shape + scale(0.5)
    bias = argument("values", field(6, 300) + field(6, -7)) + shape + scale(2.0)
    net = operator(b"Int8GivenTensorFill", b"weight", weight)
    net += operator(b"Int8GivenIntTensorFill", b"bias", bias)
    (tmp_path / "init.pb").write_bytes(net)
    tensors = read_quantised(tmp_path / "init.pb")
    np.testing.assert_array_equal(tensors["weight"].integers, np.array([[3], [255]], np.uint8))
    np.testing.assert_array_equal(tensors["bias"].integers, [[300], [-7]])
    assert tensors["bias"].scale == 2
    (tmp_path / "float.pb").write_bytes(operator(b"GivenTensorFill", b"weight", weight))
    with pytest.raises(InputError, match="8-bit"):
        read_quantised(tmp_path / "float.pb")


@pytest.mark.parametrize("cut", [1, 2, 9, 20])
def test_a_damaged_file_is_refused(tmp_path, cut):
    whole = operator(b"Int8Conv", b"out", scale(0.25))
    (tmp_path / "net.pb").write_bytes(whole[:-cut])
    with pytest.raises(InputError, match=r"Caffe2 \.pb file"):
        read_operators(tmp_path / "net.pb")


@pytest.mark.parametrize("content", [b"", b"\x1a\x01a"])
def test_what_is_no_network_is_refused(tmp_path, content):
    (tmp_path / "net.pb").write_bytes(content)
    with pytest.raises(InputError, match="no operators"):
        read_operators(tmp_path / "net.pb")
    with pytest.raises(InputError, match="no such file"):
        read_operators(tmp_path / "none.pb")
