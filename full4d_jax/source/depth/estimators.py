"""Networks that see depth in one picture, by the ending of their file.

    ours            the network in this package
    X.safetensors   weights that `full4d train configs/depth.py` wrote
    X.onnx          Depth Anything and its like: (1 3 h w), colours normalised as for ImageNet, to
                    disparity; onnxruntime runs it
    X.tflite        PyDNet and its like: (1 3 h w) or (1 h w 3), colours in [0, 1], to disparity of
                    any sign; ai-edge-litert runs it

What they return is affine in 1 / z, with a scale and a shift (and a sign) of their own, at a size
of their own; `input_pipeline.depth_alignment` brings it into the units of the cameras.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from full4d_jax.session.errors import InputError, require_file
from full4d_jax.session.extras import load_extra
from full4d_jax.source.depth.onnx_network import open_network
from input_pipeline.depth_alignment import Estimate

KINDS = "ours, or a .safetensors, .onnx or .tflite file"
EXPECTED = "a network from one picture of three float colours to one map"
SEE = "see full4d_jax/source/depth/estimators.py"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's colours
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
OPEN_SIDE, PATCH = 518, 14  # where an ONNX model takes any size: what Depth Anything was trained on
OUR_SIDE, OUR_MULTIPLE = 96, 8  # the largest frames that our network was trained on


def load_estimator(which: str) -> Estimate:
    """A network that is ready to be called with a picture.

    Raises:
      InputError: no such file, a file that is not such a network, or a library that is missing.
    """
    path = Path(which)
    if which == "ours":
        return _ours(None)
    if path.suffix not in (".safetensors", ".onnx", ".tflite"):
        raise InputError("depth estimator", which, path.suffix or which, KINDS, "choose one")
    require_file("depth estimator", path, KINDS, "check the path")
    if path.suffix == ".onnx":
        return _onnx(path)
    return _tflite(path) if path.suffix == ".tflite" else _ours(path)


def estimator_mark(which: str) -> str:
    """The name of an estimator that loads, and what its weights are."""
    from full4d_jax.source.depth.estimate import SHIPPED

    path = SHIPPED if which == "ours" else Path(which)
    return f"{which} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _ours(path: Path | None) -> Estimate:
    import jax.numpy as jnp

    from full4d_jax.source.depth.estimate import load_depth, predict_depth

    network = load_depth(path)

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        small = _resize(frame, *_sides(frame, OUR_SIDE, OUR_MULTIPLE))
        return 1 / np.asarray(predict_depth(network, jnp.asarray(small * 2 - 1)[None]))[0]

    return estimate


def _onnx(path: Path) -> Estimate:
    network = open_network("depth estimator", path, EXPECTED, SEE)

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        height, width = network.sides(*_sides(frame, OPEN_SIDE, PATCH))
        colors = (_resize(frame, height, width) - MEAN) / DEVIATION
        return _map(path, network.run(colors.transpose(2, 0, 1)[None]))

    return estimate


def _tflite(path: Path) -> Estimate:
    runtime = load_extra("ai_edge_litert.interpreter", "depth estimator", path)
    try:
        network = runtime.Interpreter(model_path=str(path))
        network.allocate_tensors()
        (entry,) = network.get_input_details()
    except (ValueError, RuntimeError) as error:
        raise _no_network(path, error) from None
    shape = [int(side) for side in entry["shape"]]
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or entry["dtype"] is not np.float32:
        raise _no_network(path, f"an input {entry['dtype']} {shape}")
    first = shape[1] == 3
    height, width = shape[2:] if first else shape[1:3]
    exit_ = network.get_output_details()[0]["index"]

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        colors = _resize(frame, height, width)
        network.set_tensor(entry["index"], (colors.transpose(2, 0, 1) if first else colors)[None])
        network.invoke()
        return _map(path, network.get_tensor(exit_))

    return estimate


def _map(path: Path, output: ndarray) -> Float32[ndarray, "r q"]:
    """The one map in an output of any number of axes."""
    values = np.squeeze(np.asarray(output, np.float32))
    if values.ndim != 2 or not np.isfinite(values).all():
        raise _no_network(path, f"an output {output.shape}, NaN or infinite in some places")
    return values


def _sides(frame: UInt8[ndarray, "h w 3"], short: int, multiple: int) -> tuple[int, int]:
    """Height and width with the shorter near `short`, in the frame's shape."""
    scale = short / min(frame.shape[:2])
    height, width = (max(multiple, round(n * scale / multiple) * multiple) for n in frame.shape[:2])
    return height, width


def _resize(
    frame: UInt8[ndarray, "h w 3"], height: int, width: int
) -> Float[ndarray, "height width 3"]:
    """The whole frame in [0, 1] at another size."""
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (width, height), interpolation=method)
    return resized.astype(np.float32) / np.float32(255)


def _no_network(path: Path, found: object) -> InputError:
    return InputError("depth estimator", path, found, EXPECTED, SEE)
