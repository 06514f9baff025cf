"""Networks that estimate depth from one picture, chosen by the ending of their file.

    ours            the network in this package
    X.safetensors   weights that `full4d train configs/depth.py` wrote
    X.onnx          Depth Anything and similar networks: pictures (1 3 h w) normalised with
                    ImageNet's mean and deviation, to disparity; onnxruntime runs it

Every network returns values that are affine in 1 / z, with its own scale, shift, sign and size;
`input_pipeline.depth_alignment` brings them into the units of the cameras.
"""

import hashlib
from pathlib import Path

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from full4d_jax.session.errors import InputError, require_file
from full4d_jax.source.depth.estimate import SHIPPED, load_depth, predict_depth
from full4d_jax.source.depth.onnx_network import open_network
from input_pipeline.depth_alignment import Estimate

KINDS = "ours, or a .safetensors or .onnx file"
EXPECTED = "a network from one picture of three float colours to one map"
SEE = "see full4d_jax/source/depth/estimators.py"
MEAN = np.array([0.485, 0.456, 0.406], np.float32)  # of ImageNet's colours
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
OPEN_SIDE, PATCH = 518, 14  # where an ONNX model takes any size: what Depth Anything was trained on
OUR_SIDE, OUR_MULTIPLE = 96, 8  # the largest frames that our network was trained on


def load_estimator(which: str) -> Estimate:
    """Open a network, ready to be called with a picture.

    Raises:
      InputError: the file is missing or is not such a network, or a library is missing.
    """
    path = Path(which)
    if which == "ours":
        return _ours(None)
    if path.suffix not in (".safetensors", ".onnx"):
        raise InputError("depth estimator", which, path.suffix or which, KINDS, "choose one")
    require_file("depth estimator", path, KINDS, "check the path")
    return _onnx(path) if path.suffix == ".onnx" else _ours(path)


def estimator_mark(which: str) -> str:
    """Return the name of an estimator and a hash of its weights."""
    path = SHIPPED if which == "ours" else Path(which)
    return f"{which} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _ours(path: Path | None) -> Estimate:
    """Return our network with the weights of a file, or with those in the package."""
    network = load_depth(path)

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        small = _resize(frame, *_sides(frame, OUR_SIDE, OUR_MULTIPLE))
        return 1 / np.asarray(predict_depth(network, jnp.asarray(small * 2 - 1)[None]))[0]

    return estimate


def _onnx(path: Path) -> Estimate:
    """Return the network of an .onnx file."""
    network = open_network("depth estimator", path, EXPECTED, SEE)

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        height, width = network.sides(*_sides(frame, OPEN_SIDE, PATCH))
        colors = (_resize(frame, height, width) - MEAN) / DEVIATION
        return _map(path, network.run(colors.transpose(2, 0, 1)[None]))

    return estimate


def _map(path: Path, output: ndarray) -> Float32[ndarray, "r q"]:
    """Return the only map in an output, whatever its number of axes."""
    values = np.squeeze(np.asarray(output, np.float32))
    if values.ndim != 2 or not np.isfinite(values).all():
        raise _no_network(path, f"an output {output.shape}, NaN or infinite in some places")
    return values


def _sides(frame: UInt8[ndarray, "h w 3"], short: int, multiple: int) -> tuple[int, int]:
    """Return height and width in the frame's shape, the shorter near `short`."""
    scale = short / min(frame.shape[:2])
    height, width = (max(multiple, round(n * scale / multiple) * multiple) for n in frame.shape[:2])
    return height, width


def _resize(
    frame: UInt8[ndarray, "h w 3"], height: int, width: int
) -> Float[ndarray, "height width 3"]:
    """Return the whole frame in [0, 1] at another size."""
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (width, height), interpolation=method)
    return resized.astype(np.float32) / np.float32(255)


def _no_network(path: Path, found: object) -> InputError:
    return InputError("depth estimator", path, found, EXPECTED, SEE)
