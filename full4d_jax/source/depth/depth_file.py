"""Depth networks of others in files: what they take, and what their values mean.

onnxruntime runs .onnx files; all devices of this host run Depth Anything V2's .safetensors.
`signatures` has the table of published ones. A person may say the kind of the values, but need
not, since `sign` compares them with those of our network. A network sees one picture, (1 3 h w) or,
with an axis of frames, (1 1 3 h w). Pictures are stretched to an input of fixed sides.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import jax
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from full4d_jax.models.depth_anything import depth_anything, load_depth_anything, stages_of
from full4d_jax.models.local_devices import OnLocalDevices
from full4d_jax.session.errors import InputError, input_errors, tell
from full4d_jax.source.depth.onnx_network import Network, as_network, open_file
from full4d_jax.source.depth.sign import checked_kind, correlation_with_disparity, example_frame
from full4d_jax.source.depth.signatures import (
    DEPTH_ANYTHING,
    WHOLE_NUMBER_INPUTS,
    Outputs,
    Signature,
    sides_of,
    signature_of,
    with_metadata,
)
from full4d_jax.source.options import DepthKind
from input_pipeline.plain_files import load_json
from input_pipeline.selection import evenly

EXPECTED_NETWORK = "a network from one picture of three float colours to a map"
EXPORT_ADVICE = (
    "export it from colours (1 3 h w) to depth (1 h w), or see docs/howto.md on depth networks"
)
WHAT = "depth network"
UNSURE_VERSION = "found no config.json of it there, expected V2's: weights of V1 look the same"
RELATIVE_ADVICE = (
    "give Depth Anything V2 of relative depth, as depth-anything/Depth-Anything-V2-Small-hf"
)


@dataclass(frozen=True)
class DepthFile:
    """A depth network of a file, ready to be called.

    Attributes:
      path: of the file.
      network: its network.
      signature: what it has in common with others.
      kind: what its values are.
      note: what people should know about the kind.
    """

    path: Path
    network: Network
    signature: Signature
    kind: DepthKind
    note: str = ""

    @property
    def description(self) -> str:
        """A line for people: the file, and what its values are taken as."""
        kinds = {
            "disparity": "disparity up to scale and shift",
            "depth": "depth up to a scale",
            "metric": "metric depth",
        }
        free = " (--depth_kind says otherwise)" if self.path.suffix == ".onnx" else ""
        taken = f"taken as {kinds[self.kind]}{free}"
        note = f"; {self.note}" if self.note else ""
        return f"depth network: {self.path}, {taken}, as of {self.signature.name}{note}"

    @cached_property
    def mark(self) -> str:
        """A hash of its weights."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    @property
    def knows_lens(self) -> bool:
        """Whether it may give a field of view."""
        return self.signature.focal is not None

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns at which it sees a picture of this size."""
        return self.network.sides(*sides_of(self.signature, height, width))

    def fov(self, frames: UInt8[ndarray, "t h w 3"], *, asked_frames: int = 3) -> float | None:
        """Return the horizontal field of view of a clip in degrees; None where it gives none.

        It is the median of some frames'.
        """
        focal = self.signature.focal
        if focal is None:
            return None
        width = self.sides(*frames.shape[1:3])[1]
        asked = evenly(len(frames), asked_frames)
        each = [focal(self._outputs(frames[i]), width) for i in asked]
        # Over the width of the picture: 157 and 3 degrees.
        focals = [x for x in each if x is not None and 0.1 < x < 20]
        if not focals:
            return None
        return math.degrees(2 * math.atan(0.5 / float(np.median(focals))))

    def values(self, frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        """Return the values of a picture, at the network's size; depth is 0 where it is unknown.

        Raises:
          InputError: the network returns something else than a map of depth.
        """
        values = self.map(frame)
        if self.kind != "disparity" and not _is_depth(values):
            found = "values of 0 or less"
            do = "if it returns disparity, say so"
            raise InputError(WHAT, self.path, found, f"{self.kind} depth", do)
        return values

    def map(self, frame: UInt8[ndarray, "h w 3"]) -> Float32[ndarray, "r q"]:
        """Return what the network makes of a picture, whatever it means.

        Raises:
          InputError: that is something else than a map.
        """
        outputs = self._outputs(frame)
        output = np.asarray(next(iter(outputs.values())))
        try:
            output = np.asarray(self.signature.depth(outputs), np.float32)
            values = np.squeeze(output)
        except (ValueError, IndexError, np.linalg.LinAlgError):
            values = np.full((), np.nan)
        if values.ndim != 2 or not np.isfinite(values).all():
            found = f"an output {np.shape(output)}, NaN or infinite in some places"
            raise InputError(WHAT, self.path, found, EXPECTED_NETWORK, EXPORT_ADVICE)
        return values

    def _outputs(self, frame: UInt8[ndarray, "h w 3"]) -> Outputs:
        """Return all that the network makes of a picture."""
        colors = resize_colors(frame, *self.sides(*frame.shape[:2]))
        mean = np.array(self.signature.mean, np.float32)
        deviation = np.array(self.signature.deviation, np.float32)
        picture = ((colors - mean) / deviation).transpose(2, 0, 1)[None]
        return self.network.run(picture if len(self.network.shape) == 4 else picture[None])


def _is_depth(values: Float32[ndarray, "r q"]) -> bool:
    """Return whether the values that are known are mostly above 0."""
    known = values[values != 0]
    return len(known) > 0 and bool(np.median(known) > 0)


def open_depth_file(path: Path, kind: DepthKind | None = None) -> DepthFile:
    """Open the depth network in an .onnx file, and compare it with ours on one frame.

    Args:
      path: of the file.
      kind: what its values are; None takes what its signature has, or the other where it must be.

    Raises:
      InputError: the file is missing or holds something else, or a library is missing.
    """
    file = open_file(WHAT, path, EXPECTED_NETWORK, EXPORT_ADVICE)
    network = as_network(file, axes=(4, 5), numbers=WHOLE_NUMBER_INPUTS)
    several = [count for count in network.shape[:-3] if isinstance(count, int) and count > 1]
    if several:
        raise file.refused(f"an input of {several[0]} pictures")
    signature = signature_of(len(network.shape), file.outputs)
    signature = with_metadata(signature, file.metadata, path)
    opened = DepthFile(path, network, signature, kind or signature.kind)
    values = opened.map(example_frame())
    settled, note = checked_kind(signature.kind, kind, correlation_with_disparity(values))
    if kind is None and settled != "disparity" and not _is_depth(values):
        found = "values that grow with distance and are 0 or less"
        do = "export it so that it returns one of these"
        raise InputError(WHAT, path, found, "disparity, or depth above 0", do)
    return replace(opened, kind=settled, note=note)


def open_depth_anything(path: Path) -> DepthFile:
    """Open Depth Anything V2's weights, and compare what they make of one frame with ours.

    Raises:
      InputError: the file is missing or holds something else, or a network of metric depth or of
        V1, whose names and shapes are the same.
    """
    params = load_depth_anything(path)
    require_relative(path, stages_of(params))
    predict = OnLocalDevices(_depth_anything, params)

    def run(pictures: Float32[ndarray, "n 3 h w"]) -> dict[str, ndarray]:
        return {"predicted_depth": predict(pictures.transpose(0, 2, 3, 1))}

    network = Network(run, [1, 3, None, None])
    opened = DepthFile(path, network, DEPTH_ANYTHING, "disparity")
    correlation = correlation_with_disparity(opened.map(example_frame()))
    settled, note = checked_kind("disparity", None, correlation)
    if settled != "disparity":
        raise InputError(WHAT, path, note, "relative disparity", RELATIVE_ADVICE)
    return replace(opened, note=note)


_depth_anything = jax.jit(depth_anything)


def require_relative(path: Path, stages: tuple[int, ...]) -> None:
    """Refuse weights beside which transformers' config.json describes another network.

    Without it a line warns, since V1, whose depth would be wrong, has the same names and shapes.

    Args:
      path: of the weights.
      stages: layers after which the head takes tokens.

    Raises:
      InputError: the config cannot be read, or is of metric depth or of V1.
    """
    config = path.with_name("config.json")
    with input_errors("config", RELATIVE_ADVICE, config):
        fields = load_json(config) if config.is_file() else {}
        if fields.get("model_type") != "depth_anything":
            tell(f"warning: {path}: {UNSURE_VERSION}")
            return
        older = fields.get("depth_estimation", "relative")  # as the first metric files name it
        kind = fields.get("depth_estimation_type", older)
        taken = fields.get("backbone_config", {}).get("out_indices", list(stages))
    if kind != "relative":
        raise InputError(
            "config", f"{config}, depth_estimation_type", kind, "relative", RELATIVE_ADVICE
        )
    if taken != list(stages):
        where = f"{config}, backbone_config.out_indices"
        raise InputError("config", where, taken, f"{list(stages)} as of V2", RELATIVE_ADVICE)


def resize_colors(
    frame: UInt8[ndarray, "h w 3"], height: int, width: int
) -> Float[ndarray, "height width 3"]:
    """Return the whole frame in [0, 1] at another size."""
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (width, height), interpolation=method)
    return resized.astype(np.float32) / np.float32(255)
