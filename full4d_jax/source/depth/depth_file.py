"""Depth networks in .onnx files: what they take, and what their values mean.

    family           told by an output    colours           sides        values
    Metric3D         ...normal...         0 to 255          616 and up   metres, for a lens of 1,000
                                                                         pixels
    Depth Pro        ...foc... or ...fov  -1 to 1           its own      metres
    Depth Anything   (any other)          ImageNet's mean   518 and up   disparity, a / z + b
                                          and deviation

Nothing in a file tells Depth Anything's networks of metric depth, or others of depth up to a scale,
from its usual ones, so a person may say the kind. A network whose input has another axis,
(1 n 3 h w), sees n frames at once, as Video Depth Anything does. Pictures are stretched to an input
of fixed sides.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from full4d_jax.session.errors import InputError
from full4d_jax.source.depth.onnx_network import Network, open_network
from full4d_jax.source.options import DepthKind

EXPECTED = "a network from one picture, or from several frames, of three float colours to maps"
SEE = "see docs/howto.md on depth networks"
WHAT = "depth network"
MEAN = (0.485, 0.456, 0.406)  # of ImageNet's colours
DEVIATION = (0.229, 0.224, 0.225)
PATCH = 14  # of which free sides are multiples
WINDOW = 32  # frames at once, where a network takes any number: what Video Depth Anything knows


class Family(NamedTuple):
    """What networks of one origin have in common.

    Attributes:
      kind: what their values are, unless a person says otherwise.
      mean: of the colours in [0, 1], subtracted.
      deviation: by which they are then divided.
      side: short side of the pictures, where the file leaves it free.
      lens: focal length in pixels of the input that their metres assume; None for no assumption.
    """

    kind: DepthKind
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    side: int
    lens: float | None = None


METRIC3D = Family("metric", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), 616, 1000.0)
DEPTH_PRO = Family("metric", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 1536)
DEPTH_ANYTHING = Family("disparity", MEAN, DEVIATION, 518)


def family_of(outputs: tuple[str, ...]) -> Family:
    """Return the family that the names of a network's outputs tell."""
    names = " ".join(outputs).lower()
    if "normal" in names and "depth" in names:
        return METRIC3D
    return DEPTH_PRO if "foc" in names or "fov" in names else DEPTH_ANYTHING


@dataclass(frozen=True)
class DepthFile:
    """A depth network of a file, ready to be called.

    Attributes:
      path: of the file.
      network: its network.
      family: what it has in common with others.
      kind: what its values are.
    """

    path: Path
    network: Network
    family: Family
    kind: DepthKind

    @property
    def window(self) -> int | None:
        """How many frames it sees at once; None where it sees one picture."""
        if len(self.network.shape) == 4:
            return None
        frames = self.network.shape[1]
        frames = frames if isinstance(frames, int) else WINDOW
        return frames if frames > 1 else None

    @property
    def told(self) -> str:
        """A line for people: the file, and what its values are taken as."""
        kinds = {
            "disparity": "disparity up to scale and shift",
            "depth": "depth up to a scale",
            "metric": "metric depth",
        }
        frames = f", {self.window} frames at once" if self.window else ""
        taken = f"taken as {kinds[self.kind]} (--depth_kind says otherwise)"
        return f"depth network: {self.path}, {taken}{frames}"

    @cached_property
    def mark(self) -> str:
        """A hash of its weights."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns at which it sees a picture of this size."""
        scale = self.family.side / min(height, width)
        free = (max(1, round(n * scale / PATCH)) * PATCH for n in (height, width))
        return self.network.sides(*free)

    def values(self, frames: UInt8[ndarray, "t h w 3"]) -> Float32[ndarray, "t r q"]:
        """Return the values of one picture, or of at most `window` frames, at its own size.

        Raises:
          InputError: the network returns something else than a map of depth for each.
        """
        maps = self.maps(frames)
        if self.kind != "disparity" and not (np.median(maps, (1, 2)) > 0).all():
            found = "values of 0 or less"
            do = "if it returns disparity, say so"
            raise InputError(WHAT, self.path, found, f"{self.kind} depth", do)
        return maps

    def maps(self, frames: UInt8[ndarray, "t h w 3"]) -> Float32[ndarray, "t r q"]:
        """Return what the network makes of frames, whatever it means.

        Raises:
          InputError: that is something else than a map for each.
        """
        t = len(frames)
        count = self.window or 1
        frames = np.concatenate([frames, frames[-1:].repeat(count - t, 0)])
        sides = self.sides(*frames.shape[1:3])
        colors = np.stack([resize_colors(frame, *sides) for frame in frames])
        mean, deviation = (np.array(x, np.float32) for x in self.family[1:3])
        inputs = ((colors - mean) / deviation).transpose(0, 3, 1, 2)
        output = self.network.run(inputs if len(self.network.shape) == 4 else inputs[None])
        maps = np.squeeze(np.asarray(output, np.float32))
        maps = maps[None] if count == 1 else maps
        if maps.ndim != 3 or len(maps) != count or not np.isfinite(maps).all():
            found = f"an output {np.shape(output)}, NaN or infinite in some places"
            raise InputError(WHAT, self.path, found, EXPECTED, SEE)
        return maps[:t]


def open_depth_file(path: Path, kind: DepthKind | None = None) -> DepthFile:
    """Open the depth network in an .onnx file, and try it on one picture.

    Args:
      path: of the file.
      kind: what its values are; None takes what its family has.

    Raises:
      InputError: the file is missing or holds something else, or a library is missing.
    """
    network = open_network(WHAT, path, EXPECTED, SEE, axes=(4, 5), output="depth")
    family = family_of(network.outputs)
    opened = DepthFile(path, network, family, kind or family.kind)
    if opened.window is None:  # several frames take too long
        sides = family.side, family.side
        opened.maps(np.random.default_rng(0).integers(256, size=(1, *sides, 3), dtype=np.uint8))
    return opened


def resize_colors(
    frame: UInt8[ndarray, "h w 3"], height: int, width: int
) -> Float[ndarray, "height width 3"]:
    """Return the whole frame in [0, 1] at another size."""
    method = cv2.INTER_AREA if height < frame.shape[0] else cv2.INTER_CUBIC
    resized = cv2.resize(frame, (width, height), interpolation=method)
    return resized.astype(np.float32) / np.float32(255)
