"""A projection of the source's video into all views, as a codec's latents, in one file.

A record has several, each with its own source and its own draw of the source's depth. The files are
in the format of safetensors, whose bytes depend on the arrays alone.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float16, Float32, UInt8
from safetensors import SafetensorError
from safetensors.numpy import load, save

from input_pipeline.plain_files import check_field


class Projected(NamedTuple):
    """One draw of source and depth, projected into the `v` views of a clip and encoded."""

    source: int
    """Which view is the source."""
    world_to_camera: Float32[np.ndarray, "v t 4 4"]
    """The world is the source's camera at t = 0, in the source's unit."""
    projection: Float16[np.ndarray, "v f h w c"]
    """Latents of the projected video, holes in mid-grey; in the source, those of its video."""
    filled: Float16[np.ndarray, "v f h w c"] | None
    """Projection with its holes filled; None where the model does not read it."""
    mask: UInt8[np.ndarray, "v f h w"]
    """1 where the projection has a point."""
    disparity: Float16[np.ndarray, "v f h w"]
    """1/z of the projected points as the network reads it, 0 in holes."""
    nothing: Float16[np.ndarray, "f h w c"]
    """Latents of a video that is one hole."""


def projection_to_bytes(projected: Projected) -> bytes:
    """Return the file; the same arrays give the same bytes on every machine."""
    fields = projected._asdict() | {"source": np.array([projected.source], np.int32)}
    return save({name: np.ascontiguousarray(x) for name, x in fields.items() if x is not None})


def projection_from_bytes(file: bytes) -> Projected:
    """Return the arrays of a file.

    Raises:
      ValueError: the file is damaged, or a field is missing or has another type or shape.
    """
    try:
        fields: dict[str, Any] = {"filled": None, **load(file)}
        fields["source"] = int(fields["source"][0])
        projected = Projected(**fields)
    except (SafetensorError, LookupError, TypeError) as error:
        raise ValueError(f"projection: found {error}, expected a whole file of one") from None
    _check(projected)
    return projected


def _check(projected: Projected) -> None:
    """Refuse arrays of other types or shapes."""
    views, *frame, channels = shape = projected.projection.shape
    kinds = {
        "world_to_camera": (np.float32, (views, *projected.world_to_camera.shape[1:2], 4, 4)),
        "projection": (np.float16, shape),
        "filled": (np.float16, shape),
        "mask": (np.uint8, (views, *frame)),
        "disparity": (np.float16, (views, *frame)),
        "nothing": (np.float16, (*frame, channels)),
    }
    for name, (dtype, sides) in kinds.items():
        array = getattr(projected, name)
        if name == "filled" and array is None:
            continue
        fits = array.dtype == dtype and array.shape == sides and len(shape) == 5
        found = f"{array.dtype} {array.shape}"
        check_field(f"projection, {name}", fits, found, f"{np.dtype(dtype)} {sides}")
    source = projected.source
    check_field("projection, source", 0 <= source < views, source, f"a view below {views}")
