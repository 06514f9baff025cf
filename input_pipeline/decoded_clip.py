"""A clip's pictures, decoded once for all checks and matches."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline import h264, selection, transforms
from input_pipeline.schema import Example

END_OF_JPEG = b"\xff\xd9"


class DecodedClip(NamedTuple):
    """The decoded frames of the instants that are looked at, and numbers of all frames."""

    instants: list[int]
    frames: list[list[UInt8[np.ndarray, "h w 3"] | None]]
    """By view and instant; None where a file does not decode."""
    light: Float[np.ndarray, "v t"]
    """Mean linear light in [0, 1]; NaN where a file does not decode."""
    damaged: list[str]
    """A line for each file that is not a whole picture."""
    shapes: list[list[tuple[int, int]]]
    """By view, the different heights and widths."""


def decode_clip(example: Example, most: int) -> DecodedClip:
    """Decode every frame once, and keep those of `most` evenly spaced instants."""
    gamma = 2.2
    v, t = example.frames.shape
    instants = selection.evenly(t, most)
    light = np.full((v, t), np.nan)
    damaged = []
    shapes = []
    frames = []
    for i in range(v):
        sizes = set()
        decoded = []
        for j in range(t):
            frame = None
            try:
                file = example.frames[i, j]
                # Decoders take JPEG files that are cut short, and paint the rest grey.
                if not h264.is_stream(file) and not file.rstrip(b"\0").endswith(
                    END_OF_JPEG
                ):
                    found = f"{len(file)} bytes that end too early"
                    raise ValueError(f"found {found}, expected a whole picture")
                frame = transforms.decode_frame(example.frames[i], j)
                sizes.add(frame.shape[:2])
                light[i, j] = ((frame[::4, ::4] / 255.0) ** gamma).mean()
            except ValueError as error:
                damaged.append(f"frames: view {i}, frame {j}: {error}")
            if j in instants:
                decoded.append(frame)
        frames.append(decoded)
        shapes.append(sorted(sizes))
    return DecodedClip(instants, frames, light, damaged, shapes)
