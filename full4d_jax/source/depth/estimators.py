"""Networks that estimate depth, chosen by name or by the ending of their file.

    ours            our network, in this package
    X.safetensors   weights that `full4d train --config depth` wrote, Tiefenrausch's, or Depth
                    Anything V2's as transformers writes them
    X.onnx          networks by others (`depth_file`, `signatures`); onnxruntime runs them
    da3-small, ...  such files in ~/.cache/full4d (`PUBLISHED`)

A video asks for depth (`open_network`, `clip_depth`). A capture asks for values that are affine in
1 / z, with any scale, shift, sign and size (`load_estimator`), which
`input_pipeline.depth_alignment` brings into the units of the cameras.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

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
CACHE = Path("~/.cache/full4d")
TRANSFORMERS = "onnx/model.onnx*"  # of onnx-community; weights may lie beside the graph


class PublishedNetwork(NamedTuple):
    """A network that others published.

    Attributes:
      place: the repository on Hugging Face.
      files: of that repository.
      licence: of the weights, with what restricts their use.
    """

    place: str
    files: str
    licence: str


# Nothing is downloaded: a name stands for the one .onnx file in its folder of `CACHE`. Licences
# are those that the pages named at the end of 2026; who uses a network reads them there.
APACHE = "Apache-2.0"
PUBLISHED = {
    "da2-small": PublishedNetwork(
        "onnx-community/depth-anything-v2-small",
        "onnx/model.onnx",
        f"{APACHE}; Base and Large are CC-BY-NC-4.0, non-commercial",
    ),
    "da3-small": PublishedNetwork(
        "onnx-community/depth-anything-v3-small",
        TRANSFORMERS,
        f"{APACHE}; Large and Giant are CC-BY-NC-4.0, non-commercial",
    ),
    "da3-base": PublishedNetwork(
        "onnx-community/depth-anything-v3-base",
        TRANSFORMERS,
        f"{APACHE}; Large and Giant are CC-BY-NC-4.0, non-commercial",
    ),
    "moge2-small": PublishedNetwork("Ruicheng/moge-2-vits-normal-onnx", "model.onnx", "MIT"),
    "depth-pro": PublishedNetwork(
        "onnx-community/DepthPro-ONNX",
        "onnx/model_quantized.onnx",
        "Apple's own, for research only",
    ),
}
NAMES = ", ".join(PUBLISHED)
KINDS = f"ours, {NAMES}, or a .safetensors or .onnx file"


def published_file(name: str) -> Path:
    """Return the .onnx file of a published network.

    Raises:
      InputError: there is none in its folder, or there are several; the message says where to get
        it, and its licence.
    """
    one = PUBLISHED[name]
    shown = CACHE / name
    files = sorted(shown.expanduser().rglob("*.onnx"))
    if len(files) == 1:
        return files[0]
    if files:
        found = ", ".join(file.name for file in files)
        do = "leave one there, or give the path of one as --depth_network"
        raise InputError("depth network", shown, found, "one .onnx file", do)
    do = f"hf download {one.place} --include '{one.files}' --local-dir {shown}"
    do = f"get it by: {do} (licence: {one.licence})"
    raise InputError("depth network", shown, "no .onnx file", "one", do)


def network_file(which: str | None) -> Path:
    """Return the file of a network's weights; None is ours.

    Raises:
      InputError: the name is that of a published network whose file is not there.
    """
    if which in (None, OURS):
        return SHIPPED
    return published_file(which) if which in PUBLISHED else Path(which)


def open_network(which: str | None, kind: DepthKind | None = None) -> AnyNetwork:
    """Open a network.

    Args:
      which: ours, which None takes too, a published network, or a file.
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
