"""Depth networks of others in files: what they take, and what their values mean.

onnxruntime runs .onnx files; all devices of this host run Depth Anything V2's .safetensors.
`onnx_signatures` has the table of published ones. A network sees one picture, (1 3 h w) or, with an
axis of frames, (1 1 3 h w). Pictures are stretched to an input of fixed sides.

A person may say the kind of the values, but need not. Files of one signature hold networks of
disparity and of depth alike, and nothing in them says which. So what a file makes of the first
frame of `source.options.CLIP`, an aisle seen from above, is correlated with the disparity that our
network makes of it. Tiefenrausch, which others trained, has a correlation of 0.74 with ours there,
and -0.75 where its depth stands for its disparity; a ramp from top to bottom has 0.55, the frame's
red -0.03.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import jax
import numpy as np
from jaxtyping import Float

from full4d_jax.geometry.arrays import Map, Picture, Pictures
from full4d_jax.media.pictures import to_model
from full4d_jax.models.nets import depth_anything
from full4d_jax.models.sharded_map import OnLocalDevices
from full4d_jax.session.errors import InputError, input_errors, log
from full4d_jax.source.depth import onnx_network, onnx_signatures, our_network
from full4d_jax.source.options import CLIP, DepthKind
from input_pipeline.plain_files import load_json
from input_pipeline.selection import evenly
from input_pipeline.video_files import first_frame

# MoGe-2's own choice between 1,200 and 3,600.
MOGE_TOKENS = 1800
# What a network makes of a picture, at its own size.
Answer = Float[np.ndarray, "r q"]

EXPECTED_NETWORK = "a network from one picture of three float colours to a map"
EXPORT_ADVICE = (
    "export it from colours (1 3 h w) to depth (1 h w), or see docs/howto.md"
)
WHAT = "depth network"
RELATIVE_ADVICE = "give relative depth, as depth-anything/Depth-Anything-V2-Small-hf"


@dataclass(frozen=True)
class FileNetwork:
    """A depth network of a file, ready to be called.

    Attributes:
      path: of the file.
      network: its network.
      signature: what it has in common with others.
      kind: what its values are.
      note: what people should know about the kind.
    """

    path: Path
    network: onnx_network.Network
    signature: onnx_signatures.Signature
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

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns at which it sees a picture of this size."""
        wanted = onnx_signatures.sides_of(self.signature, height, width)
        return self.network.sides(*wanted)

    def fov(self, frames: Pictures) -> float | None:
        """Return the horizontal field of view of a clip in degrees; None where it gives none.

        It is the median of some frames'.
        """
        queried_frames = 3
        focal = self.signature.focal
        if focal is None:
            return None
        width = self.sides(*frames.shape[1:3])[1]
        chosen = evenly(len(frames), queried_frames)
        each = [focal(self._outputs(frames[i]), width) for i in chosen]
        # Over the width of the picture: 157 and 3 degrees.
        focals = [x for x in each if x is not None and 0.1 < x < 20]
        if not focals:
            return None
        return math.degrees(2 * math.atan(0.5 / float(np.median(focals))))

    def values(self, frame: Picture) -> Answer:
        """Return the values of a picture, at the network's size; depth is 0 where it is unknown.

        Raises:
          InputError: the network returns something else than a map of depth.
        """
        values = self.map(frame)
        known = values[values != 0]
        if self.kind != "disparity" and not (len(known) and np.median(known) > 0):
            found = "values of 0 or less"
            do = "if it returns disparity, say so"
            raise InputError(WHAT, self.path, found, f"{self.kind} depth", do)
        return values

    def map(self, frame: Picture) -> Answer:
        """Return what the network makes of a picture, whatever it means.

        Raises:
          InputError: that is something else than a map.
        """
        outputs = self._outputs(frame)
        output = next(iter(outputs.values()))
        try:
            output = np.asarray(self.signature.depth(outputs), np.float32)
            values = np.squeeze(output)
        except (ValueError, IndexError, np.linalg.LinAlgError):
            values = np.full((), np.nan)
        if values.ndim != 2 or not np.isfinite(values).all():
            found = f"an output {np.shape(output)}, NaN or infinite in some places"
            raise InputError(WHAT, self.path, found, EXPECTED_NETWORK, EXPORT_ADVICE)
        return values

    def _outputs(self, frame: Picture) -> onnx_signatures.Outputs:
        """Return all that the network makes of a picture."""
        colors = resize_colors(frame, *self.sides(*frame.shape[:2]))
        mean = np.array(self.signature.mean, np.float32)
        deviation = np.array(self.signature.deviation, np.float32)
        picture = ((colors - mean) / deviation).transpose(2, 0, 1)[None]
        pictures = picture if len(self.network.shape) == 4 else picture[None]
        return self.network.run(pictures)


def open_file_network(path: Path, kind: DepthKind | None = None) -> FileNetwork:
    """Open the depth network in an .onnx file, and compare it with ours on one frame.

    Args:
      path: of the file.
      kind: what its values are; None takes what its signature has, or the other where it must be.

    Raises:
      InputError: the file is missing or holds something else, or a library is missing.
    """
    numbers = {"num_tokens": MOGE_TOKENS}
    file = onnx_network.open_file(
        WHAT, path, EXPECTED_NETWORK, EXPORT_ADVICE, axes=(4, 5), numbers=numbers
    )
    network = file.network
    for count in network.shape[:-3]:
        if isinstance(count, int) and count > 1:
            raise file.refused(f"an input of {count} pictures")
    signature = onnx_signatures.signature_of(len(network.shape), file.outputs)
    signature = onnx_signatures.with_metadata(signature, file.metadata, path)
    return _compared(FileNetwork(path, network, signature, signature.kind), kind)


def open_depth_anything(path: Path) -> FileNetwork:
    """Open Depth Anything V2's weights, and compare what they make of one frame with ours.

    Raises:
      InputError: the file is missing or holds something else, or a network of metric depth or of
        V1, whose names and shapes are the same.
    """
    params = depth_anything.load_depth_anything(path)
    _require_relative(path, depth_anything.stages_of(params))
    predict = OnLocalDevices(jax.jit(depth_anything.depth_anything), params)

    def run(pictures: Float[np.ndarray, "n 3 h w"]) -> dict[str, np.ndarray]:
        return {"predicted_depth": predict(pictures.transpose(0, 2, 3, 1))}

    network = onnx_network.Network(run, [1, 3, None, None])
    given = FileNetwork(path, network, onnx_signatures.DEPTH_ANYTHING, "disparity")
    opened = _compared(given)
    if opened.kind != "disparity":
        raise InputError(WHAT, path, opened.note, "relative disparity", RELATIVE_ADVICE)
    return opened


def _require_relative(path: Path, stages: tuple[int, ...]) -> None:
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
            expected = "expected V2's: weights of V1 look the same"
            log(f"warning: {path}: found no config.json of it there, {expected}")
            return
        # As the first metric files name it.
        older = fields.get("depth_estimation", "relative")
        kind = fields.get("depth_estimation_type", older)
        layers = fields.get("backbone_config", {}).get("out_indices", [*stages])
    for name, found, expected in (
        ("depth_estimation_type", kind, "relative"),
        ("backbone_config.out_indices", layers, [*stages]),
    ):
        if found != expected:
            of_v2 = f"{expected} as of V2"
            where = f"{config}, {name}"
            raise InputError("config", where, found, of_v2, RELATIVE_ADVICE)


def _compared(network: FileNetwork, named_kind: DepthKind | None = None) -> FileNetwork:
    """Return a network with the kind of its values, corrected unless a person names one.

    Args:
      network: with the kind that networks of its signature usually have.
      named_kind: the one of `--depth_kind`; None without it.
    """
    # Least correlation at which a sign is believed.
    sure_correlation = 0.4
    kind = named_kind or network.kind
    correlation = correlation_with_disparity(network.map(example_frame()))
    note = ""
    if abs(correlation) < sure_correlation:
        note = "our network cannot confirm this on a frame of the package's clip"
    elif (correlation > 0) != (kind == "disparity"):
        grow = "when near" if correlation > 0 else "with distance"
        note = f"its values grow {grow} on a frame of our clip, by our network"
        if named_kind is not None:
            note = f"warning: {note}, against --depth_kind {named_kind}"
        else:
            note = f"{note}, so they are not {kind} as usual with its outputs"
            kind = "disparity" if correlation > 0 else "depth"
    return replace(network, kind=kind, note=note)


def correlation_with_disparity(values: Map) -> float:
    """Return the correlation of what a network makes of `example_frame` with our disparity.

    Where values are 0, unknown, they do not count; it is 0 where they are one.
    """
    disparity = cv2.resize(example_disparity(), values.shape[::-1])
    known = values != 0
    if known.sum() < 2 or np.ptp(values[known]) == 0:
        return 0.0
    # Without outliers.
    both = [x[known].astype(np.float64) for x in (values, disparity)]
    first, second = (np.clip(x, *np.percentile(x, (2, 98))) for x in both)
    return float(np.nan_to_num(np.corrcoef(first, second)[0, 1]))


@cache
def example_frame() -> Picture:
    """Return the frame of the package's clip that networks are compared on."""
    return first_frame(CLIP)


@cache
def example_disparity() -> Map:
    """Return our network's disparity of that frame."""
    frame = example_frame()
    network = our_network.load_depth()
    size = network.sides(*frame.shape[:2])
    small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA)
    depth = our_network.predict_depth(network, to_model(small[None]))[0]
    return 1 / np.asarray(depth, np.float32)


def resize_colors(
    frame: Picture, height: int, width: int
) -> Float[np.ndarray, "height width 3"]:
    """Return the whole frame in [0, 1] at another size."""
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (width, height), interpolation=method)
    return resized.astype(np.float32) / np.float32(255)
