"""Published networks become the shipped files to the byte; Caffe2's buffers are encoded by hand."""

import importlib
import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKPOINTS = ROOT / "full4d_jax" / "checkpoints"


@pytest.fixture
def converter(monkeypatch) -> ModuleType:
    """The program."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes"))
    return importlib.import_module("convert_networks")


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


def test_operators_and_their_arguments(converter, tmp_path):
    zero, pads = argument("Y_zero_point", field(3, 128)), argument("pads", field(6, 1) * 4)
    net = field(1, b"a name") + operator(b"Int8Conv", b"out", scale(0.25) + zero + pads)
    (tmp_path / "net.pb").write_bytes(net)
    (layer,) = converter.read_operators(tmp_path / "net.pb")
    assert layer.kind == "Int8Conv"
    assert layer.inputs == ["input"]
    assert layer.output == "out"
    assert layer.arguments["pads"] == [1, 1, 1, 1]
    assert converter.quantisation(layer) == (0.25, 128)


def test_bytes_and_negative_integers_of_tensors(converter, tmp_path):
    shape = argument("shape", field(6, varint(2) + varint(1)))  # packed
    weight = argument("values", field(4, bytes([3, 255]))) + shape + scale(0.5)
    bias = argument("values", field(6, 300) + field(6, -7)) + shape + scale(2.0)
    net = operator(b"Int8GivenTensorFill", b"weight", weight)
    net += operator(b"Int8GivenIntTensorFill", b"bias", bias)
    (tmp_path / "init.pb").write_bytes(net)
    tensors = converter.read_quantised(tmp_path / "init.pb")
    np.testing.assert_array_equal(tensors["weight"].integers, np.array([[3], [255]], np.uint8))
    np.testing.assert_array_equal(tensors["bias"].integers, [[300], [-7]])
    assert tensors["bias"].scale == 2
    (tmp_path / "float.pb").write_bytes(operator(b"GivenTensorFill", b"weight", weight))
    with pytest.raises(ValueError, match="8 bits"):
        converter.read_quantised(tmp_path / "float.pb")


@pytest.mark.parametrize("cut", [1, 2, 9, 20])
def test_a_damaged_file_is_refused(converter, tmp_path, cut):
    whole = operator(b"Int8Conv", b"out", scale(0.25))
    (tmp_path / "net.pb").write_bytes(whole[:-cut])
    with pytest.raises((ValueError, IndexError, KeyError, struct.error)):
        converter.read_operators(tmp_path / "net.pb")


@pytest.mark.parametrize(
    ("network", "source", "shipped"),
    [
        ("segmentation", "deeplab/deeplabv3_257_mv_gpu.tflite", "segmentation.safetensors"),
        ("silhouette", "blazepose/pose_landmark_full.tflite", "silhouette.safetensors"),
        ("depth", "tiefenrausch", "tiefenrausch.safetensors"),
        ("fast_depth", "fast_depth/fastdepth_7.onnx", "fast_depth.safetensors"),
    ],
)
def test_the_shipped_weights_are_the_published_ones(
    converter, monkeypatch, tmp_path, shared_data, network, source, shipped
):
    published = shared_data / "weights" / source
    if not published.exists():
        pytest.skip(f"no weights: {published}")
    target = tmp_path / "new" / shipped
    words = ["convert_networks.py", network, str(published), str(target)]
    monkeypatch.setattr(sys, "argv", words)
    converter.main()
    assert target.read_bytes() == (CHECKPOINTS / shipped).read_bytes()
    if network == "depth":
        licence = (CHECKPOINTS / shipped).with_suffix(".LICENSE")
        assert (published / "LICENSE").read_text() == licence.read_text()
