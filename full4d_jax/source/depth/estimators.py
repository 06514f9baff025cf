"""Networks that estimate depth: ours, or a file whose ending tells what it is.

    ours            our network, in this package
    X.safetensors   weights that `recipes/train_depth.py` wrote, Tiefenrausch's, or Depth
                    Anything V2's as transformers writes them
    X.onnx          networks by others (`depth_file`, `signatures`); onnxruntime runs them

A video asks for depth (`open_network`, `clip_depth`). A capture asks for values that are affine in
1 / z, with any scale, shift, sign and size (`load_estimator`), which
`input_pipeline.depth_alignment` brings into the units of the cameras.
"""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from full4d_jax.models.depth_anything import is_depth_anything
from full4d_jax.models.local_devices import OnLocalDevices
from full4d_jax.models.weights import tensor_shapes
from full4d_jax.session.errors import InputError, require_file, tell
from full4d_jax.source.depth.clip_depth import AnyNetwork, as_far
from full4d_jax.source.depth.depth_file import (
    WHAT,
    DepthFile,
    open_depth_anything,
    open_depth_file,
    resize_colors,
)
from full4d_jax.source.depth.estimate import (
    SHIPPED,
    load_depth,
    predict_depth,
)
from full4d_jax.source.options import DepthKind
from input_pipeline.depth_alignment import Estimate

OURS = "ours"
KINDS = "ours, or a .safetensors or .onnx file"


def network_file(which: str | None) -> Path:
    """Return the file of a network's weights; None is ours."""
    return SHIPPED if which in (None, OURS) else Path(which)


def open_network(which: str | None, kind: DepthKind | None = None) -> AnyNetwork:
    """Open a network.

    Args:
      which: ours, which None takes too, or a file.
      kind: what the values of an .onnx file are; None takes the file's, or compares with ours.

    Raises:
      InputError: the file is missing or is not such a network, or a library is missing; or a kind
        of a network whose kind is known.
    """
    path = network_file(which)
    if path.suffix == ".onnx":
        return open_depth_file(path, kind)
    if path.suffix != ".safetensors":
        raise InputError(WHAT, path, path.suffix or path, KINDS, "choose one")
    require_file(WHAT, path, KINDS, "check the path")
    if kind is not None:
        expected = "an .onnx file as --depth_network beside it"
        do = "leave it out, or give one"
        raise InputError("option", "--depth_kind", kind, expected, do)
    return open_depth_anything(path) if is_depth_anything(tensor_shapes(path)) else load_depth(path)


def load_estimator(which: str, kind: DepthKind | None = None) -> Estimate:
    """Open a network, ready to be called with a picture; arguments and errors as above.

    Of a file it says what its values are taken as. Several threads may call it; networks in JAX are
    then on all devices of this host.
    """
    network = open_network(which, kind)
    if isinstance(network, DepthFile):
        tell(network.description)
        return lambda frame: _affine(network, frame)
    predict = OnLocalDevices(lambda here, x: predict_depth(here, jnp.asarray(x)), network)

    def estimate(frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        height, width = frame.shape[:2]
        small = resize_colors(frame, *network.sides(height, width))
        return 1 / predict((small * 2 - 1)[None])[0]

    return estimate


def _affine(network: DepthFile, frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
    """Return values that are affine in 1 / z."""
    values = network.values(frame)
    if network.kind == "disparity":
        return values
    values = as_far(values[None])[0]
    return 1 / np.maximum(values, np.float32(1e-3) * np.median(values))


def estimator_mark(which: str) -> str:
    """Return the name of an estimator and a hash of its weights."""
    weights = network_file(which).read_bytes()
    return f"{which} {hashlib.sha256(weights).hexdigest()[:16]}"
