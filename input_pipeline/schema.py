"""The record: one synchronized multi-view clip, as importers write it and the loader reads it.

All views see the same instants. Pictures stay encoded, and all frames of a view have one size. The
world frame and its unit are the capture's own; `transforms.to_source` moves them to the source
camera. A field that a capture lacks is empty (`""`, `b""`, size 0) or 0, never absent.

A projection of the source's video into all views, as a codec's latents, is one file in the format
of safetensors, whose bytes depend on the arrays alone. A record has several, each with its own
source and its own draw of the source's depth.
"""

import re
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float16, Float32, Shaped, UInt8
from numpy import ndarray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from input_pipeline import h264, pinhole
from input_pipeline.plain_files import check_field

# A file (bytes) of each view and instant.
Files = Shaped[ndarray, "v t"]
SCHEMA_VERSION = 4
TEXTS = ("scene_id", "codec", "caption", "source", "license")
# How files of a field begin, and what they are.
FILES = {
    "frames": (re.compile(b"\xff\xd8|" + re.escape(h264.UNIT)), "JPEG files or videos"),
    "depth16": (re.compile(rb"\x89PNG|\Z"), "PNG files or nothing"),
    "masks": (re.compile(rb"\x89PNG|\Z"), "PNG files or nothing"),
}


class Example(NamedTuple):
    """One clip of `v` views and `t` instants."""

    version: int
    """Version of this schema, `SCHEMA_VERSION`."""
    scene_id: str
    """Clips of one scene share it, so that no split cuts a scene in two."""
    fps: float
    """Nominal frames per second; `timestamps` are what counts."""
    timestamps: Float32[ndarray, "v t"]
    """Seconds since the clip's first instant, increasing within a view."""
    frames: Files
    """JPEG files (bytes), or in whole views the pieces of an H.264 stream (`h264`)."""
    intrinsics: Float32[ndarray, "v 3 3"]
    """Pixels of the stored frames, pixel centres at +0.5."""
    world_to_camera: Float32[ndarray, "v t 4 4"]
    """Rigid, OpenCV axes (x right, y down, z forward)."""
    distortion: Float32[ndarray, "v 8"]
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6 of the stored frames; 0 if there is none."""
    depth16: Files
    """16-bit PNG files (bytes) with the bits of float16 z-depth in world units, 0 where unknown;
    `b""` where a frame has no depth."""
    masks: Files
    """8-bit grey PNG files (bytes), 255 where the subject is, else 0; `b""` without a mask."""
    latents: Float16[ndarray, "v f h w c"]
    """A codec's latents of each view, `f` latent frames; size 0 if not encoded."""
    codec: str
    """Codec of the latents with a hash of its weights; `""` without latents."""
    projections: Shaped[ndarray, "k"]
    """Files (bytes) of encoded projections of the source's video (`Projected`), `k` draws of
    source and depth; size 0 if none are encoded."""
    caption: str
    """Description of the clip."""
    text: Float16[ndarray, "n e"]
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


class Projected(NamedTuple):
    """One draw of source and depth, projected into the `v` views of a clip and encoded."""

    source: int
    """Place of the source among the views."""
    world_to_camera: Float32[ndarray, "v t 4 4"]
    """The world is the source's camera at t = 0, in the source's unit."""
    projection: Float16[ndarray, "v f h w c"]
    """Latents of the projected video, holes in mid-grey; in the source, those of its video."""
    filled: Float16[ndarray, "v f h w c"] | None
    """Projection with its holes filled; None where the model does not read it."""
    mask: UInt8[ndarray, "v f h w"]
    """1 where the projection has a point."""
    disparity: Float16[ndarray, "v f h w"]
    """1/z of the projected points as the network reads it, 0 in holes."""
    nothing: Float16[ndarray, "f h w c"]
    """Latents of a video that is one hole."""


def credit_of(example: "Example") -> str:
    """Return source and licence of a clip; "" where its licence is not known."""
    known = example.license not in ("", "unknown")
    return f"{example.source}, {example.license}" if known else ""


def make_example(
    frames: Files,
    intrinsics: Float[ndarray, "v 3 3"],
    world_to_camera: Float[ndarray, "v t 4 4"],
    timestamps: Float[ndarray, "v t"] | Float[ndarray, "t"],
    *,
    depth16: Files | None = None,
    masks: Files | None = None,
    **others: Any,
) -> Example:
    """Return a clip without latents. Missing fields are empty; one row of times serves all views.

    Its pictures have no distortion. Of `others`, which are texts and numbers, it needs scene_id,
    fps, source and license. Only `validate` checks anything.
    """
    v, t = frames.shape
    nothing = np.full((v, t), b"", object)
    return Example(
        version=SCHEMA_VERSION,
        timestamps=np.array(np.broadcast_to(timestamps, (v, t)), np.float32),
        frames=frames,
        intrinsics=np.asarray(intrinsics, np.float32),
        world_to_camera=np.asarray(world_to_camera, np.float32),
        distortion=np.zeros((v, 8), np.float32),
        depth16=nothing if depth16 is None else depth16,
        masks=nothing if masks is None else masks,
        latents=np.zeros((v, 0, 0, 0, 0), np.float16),
        codec="",
        projections=np.empty(0, object),
        text=np.zeros((0, 0), np.float16),
        **{"caption": "", "unit": 0.0, **others},
    )


def validate(example: Example) -> Example:
    """Return the example if every field is valid.

    Raises:
      ValueError: naming the field, what was found and what was expected.
    """
    _require(
        "version", example.version == SCHEMA_VERSION, example.version, SCHEMA_VERSION
    )
    for field in TEXTS:
        kind = type(getattr(example, field))
        _require(field, kind is str, kind.__name__, "str")
    _require("fps", 0 < example.fps < np.inf, example.fps, "a positive number")
    is_known = 0 <= example.unit < np.inf
    _require("unit", is_known, example.unit, "metres, or 0 if unknown")
    _require("frames", example.frames.ndim == 2, example.frames.shape, "(v, t)")
    v, t = example.frames.shape
    for field, (start, kind) in FILES.items():
        files = getattr(example, field)
        _require(field, files.shape == (v, t), f"shape {files.shape}", (v, t))
        for place, file in np.ndenumerate(files):
            fits = isinstance(file, bytes) and start.match(file)
            _require(field, fits, f"{file[:4]!r}... at {place}", kind)
    for view in example.frames:
        kinds = {h264.is_stream(file) for file in view}
        whole = len(kinds) == 1 and (kinds == {False} or view[0].startswith(h264.KEY))
        expected = "JPEG files or an H.264 stream from a key frame on"
        _require("frames", whole, "parts of a stream", expected)
    latents = example.latents
    for field, dtype, shape in (
        ("timestamps", "float32", (v, t)),
        ("intrinsics", "float32", (v, 3, 3)),
        ("world_to_camera", "float32", (v, t, 4, 4)),
        ("distortion", "float32", (v, 8)),
        (
            "latents",
            "float16",
            (v, *latents.shape[1:]) if latents.size else latents.shape,
        ),
        ("text", "float16", (len(example.text), *example.text.shape[1:2])),
    ):
        _check_array(f"record field {field}", getattr(example, field), dtype, shape)
    times, codec, count = example.timestamps, example.codec, example.projections.size
    rises = (np.diff(times) > 0).all()
    _require("timestamps", rises, times.tolist(), "increasing seconds in each view")
    fits = bool(codec) == bool(latents.size)
    _require("codec", fits, repr(codec), "the codec of the latents, or nothing without")
    _require(
        "projections", codec or not count, f"{count} files", "none without latents"
    )
    for file in example.projections:
        projected = projection_from_bytes(file)
        shape = projected.projection.shape
        _require(
            "projections", shape == latents.shape, f"latents {shape}", latents.shape
        )
    pinhole.check_cameras(example.intrinsics, example.world_to_camera)
    return example


def _require(field: str, holds: object, found: object, expected: object) -> None:
    check_field(f"record field {field}", holds, found, expected)


def _check_array(where: str, array: ndarray, dtype: str, shape: Any) -> None:
    """Refuse an array of another type or shape, or of numbers that are not finite."""
    found = f"{array.dtype} {array.shape}"
    expected = f"{dtype} {shape}"
    check_field(where, found == expected, found, expected)
    bad = np.count_nonzero(~np.isfinite(array))
    check_field(where, bad == 0, f"{bad} NaN or infinite values", "finite ones")


def projection_to_bytes(projected: Projected) -> bytes:
    """Return the file; the same arrays give the same bytes on every machine."""
    fields = projected._asdict() | {"source": np.array([projected.source], np.int32)}
    arrays = {k: np.ascontiguousarray(x) for k, x in fields.items() if x is not None}
    return save(arrays)


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
        problem = f"{error}, expected a whole file of one"
        raise ValueError(f"projection: found {problem}") from None
    # Its arrays have their types and shapes.
    views, *frame, channels = shape = projected.projection.shape
    times = projected.world_to_camera.shape[1:2]
    kinds = {
        "world_to_camera": ("float32", (views, *times, 4, 4)),
        "projection": ("float16", shape),
        "filled": ("float16", shape),
        "mask": ("uint8", (views, *frame)),
        "disparity": ("float16", (views, *frame)),
        "nothing": ("float16", (*frame, channels)),
    }
    for name, (dtype, sides) in kinds.items():
        array = getattr(projected, name)
        if name == "filled" and array is None:
            continue
        _check_array(f"projection, {name}", array, dtype, sides)
    check_field("projection", len(shape) == 5, f"shape {shape}", "(v, f, h, w, c)")
    source = projected.source
    check_field(
        "projection, source", 0 <= source < views, source, f"a view below {views}"
    )
    return projected
