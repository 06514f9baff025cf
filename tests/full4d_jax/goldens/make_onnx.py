"""Makes slope.onnx, disparity = 2 red - green + 0.5 at half the size, and focal.onnx.

Needs the package onnx.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

weights = np.array([2.0, -1.0, 0.0], np.float32).reshape(1, 3, 1, 1)
graph = helper.make_graph(
    [
        helper.make_node(
            "AveragePool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Conv", ["p", "w", "b"], ["y"]),
    ],
    "slope",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, "r", "q"])],
    [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([0.5], np.float32), "b"),
    ],
)
model = helper.make_model(
    graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
)
checker.check_model(model)
save(model, Path(__file__).with_name("slope.onnx"))


# Depth networks with the inputs and outputs of others. Each sees red in cells of 2 x 2 pixels.
def save_depth(
    name: str, nodes: list, shape: list, outputs: dict, constants: dict
) -> None:
    """Write a network of one input x."""
    given = {"red": np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1), **constants}
    pool = helper.make_node(
        "AveragePool", ["frames"], ["p"], kernel_shape=[2, 2], strides=[2, 2]
    )
    graph = helper.make_graph(
        [*nodes[:1], pool, helper.make_node("Conv", ["p", "red"], ["r"]), *nodes[1:]],
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(x, TensorProto.FLOAT, axes)
            for x, axes in outputs.items()
        ],
        [
            numpy_helper.from_array(np.asarray(value), key)
            for key, value in given.items()
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    checker.check_model(model)
    save(model, Path(__file__).with_name(f"{name}.onnx"))


# focal.onnx: Depth Pro's outputs at a size of its own; depth 2 + red in [-1, 1].
nodes = [
    helper.make_node("Identity", ["x"], ["frames"]),
    helper.make_node("Add", ["r", "two"], ["predicted_depth"]),
    helper.make_node("Identity", ["two"], ["focallength_px"]),
]
outputs = {"predicted_depth": [1, 1, 24, 24], "focallength_px": []}
save_depth("focal", nodes, [1, 3, 48, 48], outputs, {"two": np.float32(2)})
