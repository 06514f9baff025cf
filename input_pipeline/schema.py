"""The record: one synchronized multi-view clip, as importers write it and the loader reads it.

All views see the same instants. Pictures stay encoded, and all frames of a view have one size. The
world frame and its unit are the capture's own; `transforms.to_source` moves them to the source
camera. A field that a capture lacks is empty (`""`, `b""`, size 0) or 0, never absent.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float16, Float32, Shaped

from input_pipeline.cameras import check_cameras, check_field
from input_pipeline.films import KEY, UNIT, is_film
from input_pipeline.projections import projection_from_bytes

SCHEMA_VERSION = 4


class Example(NamedTuple):
    """One clip of `v` views and `t` instants."""

    version: int
    """Version of this schema, `SCHEMA_VERSION`."""
    scene_id: str
    """Clips of one scene share it, so that no split cuts a scene in two."""
    fps: float
    """Nominal frames per second; `timestamps` are what counts."""
    timestamps: Float32[np.ndarray, "v t"]
    """Seconds since the clip's first instant, increasing within a view."""
    frames: Shaped[np.ndarray, "v t"]
    """JPEG files (bytes), or in whole views the pieces of a film (`films`)."""
    intrinsics: Float32[np.ndarray, "v 3 3"]
    """Pixels of the stored frames, pixel centres at +0.5."""
    world_to_camera: Float32[np.ndarray, "v t 4 4"]
    """Rigid, OpenCV axes (x right, y down, z forward)."""
    distortion: Float32[np.ndarray, "v 8"]
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6 of the stored frames; 0 if there is none."""
    depth16: Shaped[np.ndarray, "v t"]
    """16-bit PNG files (bytes) with the bits of float16 z-depth in world units, 0 where unknown;
    `b""` where a frame has no depth."""
    masks: Shaped[np.ndarray, "v t"]
    """8-bit grey PNG files (bytes), 255 where the subject is, else 0; `b""` without a mask."""
    latents: Float16[np.ndarray, "v f h w c"]
    """A codec's latents of each view, `f` latent frames; size 0 if not encoded."""
    codec: str
    """Codec of the latents with a hash of its weights; `""` without latents."""
    projections: Shaped[np.ndarray, "k"]
    """Files (bytes) of encoded projections of the source's video (`projections`), `k` draws of
    source and depth; size 0 if none are encoded."""
    caption: str
    """Description of the clip."""
    text: Float16[np.ndarray, "n e"]
    """Embedding of the caption, a row for each token; size 0 if not embedded."""
    unit: float
    """Metres in one world unit; 0 if the capture has no metric scale."""
    source: str
    """The dataset or capture, and where in it."""
    license: str
    """SPDX identifier, or the words of the owner."""
    generated: bool = False
    """Views disagree: a generator made the pictures, or cameras were estimated from them. A data
    set records it in its index, since records of before have no such field."""


def make_example(
    frames: Shaped[np.ndarray, "v t"],
    intrinsics: Float[np.ndarray, "v 3 3"],
    world_to_camera: Float[np.ndarray, "v t 4 4"],
    timestamps: Float[np.ndarray, "v t"] | Float[np.ndarray, "t"],
    *,
    scene_id: str,
    fps: float,
    source: str,
    license: str,
    distortion: Float[np.ndarray, "v 8"] | None = None,
    depth16: Shaped[np.ndarray, "v t"] | None = None,
    masks: Shaped[np.ndarray, "v t"] | None = None,
    caption: str = "",
    unit: float = 0.0,
    generated: bool = False,
) -> Example:
    """A clip without latents; what is left out is empty, and one row of times is that of all views.

    Only `validate` checks anything.
    """
    v, t = frames.shape
    nothing = np.full((v, t), b"", object)
    return Example(
        version=SCHEMA_VERSION,
        scene_id=scene_id,
        fps=fps,
        timestamps=np.array(np.broadcast_to(timestamps, (v, t)), np.float32),
        frames=frames,
        intrinsics=np.asarray(intrinsics, np.float32),
        world_to_camera=np.asarray(world_to_camera, np.float32),
        distortion=np.asarray(np.zeros((v, 8)) if distortion is None else distortion, np.float32),
        depth16=nothing if depth16 is None else depth16,
        masks=nothing if masks is None else masks,
        latents=np.zeros((v, 0, 0, 0, 0), np.float16),
        codec="",
        projections=np.empty(0, object),
        caption=caption,
        text=np.zeros((0, 0), np.float16),
        unit=unit,
        source=source,
        license=license,
        generated=generated,
    )


def validate(example: Example) -> Example:
    """Return the example if every field keeps its promise.

    Raises:
      ValueError: naming the field, what was found and what was expected.
    """
    _require("version", example.version == SCHEMA_VERSION, example.version, SCHEMA_VERSION)
    for field in ("scene_id", "codec", "caption", "source", "license"):
        kind = type(getattr(example, field))
        _require(field, kind is str, kind.__name__, "str")
    _require("fps", 0 < example.fps < np.inf, example.fps, "a positive number")
    _require("unit", 0 <= example.unit < np.inf, example.unit, "metres, or 0 if unknown")
    _require("frames", example.frames.ndim == 2, example.frames.shape, "(v, t)")
    v, t = example.frames.shape
    _check_files("frames", example.frames, (v, t), (b"\xff\xd8", UNIT), "JPEG files or films")
    for view in example.frames:
        kinds = {is_film(file) for file in view}
        whole = len(kinds) == 1 and (kinds == {False} or view[0].startswith(KEY))
        _require("frames", whole, "parts of a film", "JPEG files or a film from a key frame on")
    _check_files("depth16", example.depth16, (v, t), (b"\x89PNG", b""), "PNG files or nothing")
    _check_files("masks", example.masks, (v, t), (b"\x89PNG", b""), "PNG files or nothing")
    _check_array("timestamps", example.timestamps, np.float32, (v, t))
    rises = bool((np.diff(example.timestamps) > 0).all())
    _require("timestamps", rises, example.timestamps.tolist(), "increasing seconds in each view")
    _check_array("intrinsics", example.intrinsics, np.float32, (v, 3, 3))
    _check_array("world_to_camera", example.world_to_camera, np.float32, (v, t, 4, 4))
    _check_array("distortion", example.distortion, np.float32, (v, 8))
    latents = example.latents
    _check_array("latents", latents, np.float16, (v, *latents.shape[1:]) if latents.size else None)
    fits = bool(example.codec) == bool(latents.size)
    _require("codec", fits, repr(example.codec), "the codec of the latents, or nothing without")
    fits = bool(example.codec) or not example.projections.size
    _require("projections", fits, f"{example.projections.size} files", "none without latents")
    for file in example.projections:
        projected = projection_from_bytes(file)
        shape = projected.projection.shape
        _require("projections", shape == latents.shape, f"latents {shape}", latents.shape)
        finite = all(np.isfinite(x).all() for x in projected if x is not None)
        _require("projections", finite, "NaN or infinite values", "finite ones")
    text = example.text
    _check_array("text", text, np.float16)
    _require("text", text.ndim == 2, f"shape {text.shape}", "(tokens, channels)")
    check_cameras(example.intrinsics, example.world_to_camera)
    return example


def _check_array(field: str, array: np.ndarray, dtype: type, shape: tuple | None = None) -> None:
    """Dtype, shape (None: any) and finite values."""
    _require(field, array.dtype == dtype, array.dtype, np.dtype(dtype))
    _require(field, shape in (None, array.shape), f"shape {array.shape}", shape)
    bad = np.count_nonzero(~np.isfinite(array))
    _require(field, bad == 0, f"{bad} NaN or infinite values", "finite ones")


def _check_files(
    field: str, files: np.ndarray, shape: tuple[int, int], starts: tuple[bytes, ...], kind: str
) -> None:
    """An object array of bytes, each file known by its first bytes (`b""`: may be empty)."""
    _require(field, files.shape == shape, f"shape {files.shape}", shape)
    for place, file in np.ndenumerate(files):
        is_valid = isinstance(file, bytes) and any(
            file.startswith(start) if start else not file for start in starts
        )
        _require(field, is_valid, f"{file[:4]!r}... at {place}", kind)


def _require(field: str, holds: object, found: object, expected: object) -> None:
    check_field(f"record field {field}", holds, found, expected)
