"""Captures as importers read them: calibrated views of one scene, as files, on one clock.

Cameras are ours already (OpenCV world-to-camera, pixel centres at +0.5, intrinsics of the stored
frames). `capture_clips.CaptureClips` cuts records from captures.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from input_pipeline import lenses, media_files, pinhole, video_files
from input_pipeline.pinhole import Lens
from input_pipeline.plain_files import check_field, named, numbers

# The rate of a capture of one instant, where none means anything.
STILL_FPS = 1.0


class View(NamedTuple):
    """One camera and its files."""

    name: str
    files: tuple[Path, ...]
    """One video, or one picture an instant."""
    timestamps: Float64[ndarray, " t"]
    """Seconds on the capture's common clock, increasing."""
    intrinsics: Lens
    """Pixels of the stored, upright frames, pixel centres at +0.5."""
    distortion: Float64[ndarray, "8"]
    """OpenCV's k1 k2 p1 p2 k3 k4 k5 k6."""
    world_to_camera: Float64[ndarray, "t 4 4"]
    """Rigid, OpenCV axes."""
    depth: tuple[Path | None, ...] = ()
    """One file an instant (.npy, a 16-bit picture, a float TIFF), or none; 0 where unknown.

    None stands for an instant of unknown depth.
    """
    confidence: tuple[Path | None, ...] = ()
    """One picture an instant, of the depth's size, or none; depth is unknown where it is 0.

    None stands where depth has it.
    """
    masks: tuple[Path, ...] = ()
    """One picture an instant, or none; what is not black is kept."""
    depth_scale: float | None = None
    """World units per number in the depth files; None: their real numbers are world units."""
    depth_size: tuple[int, int] | None = None
    """Rows and columns of depth files that do not say so: Record3D's `.depth`."""
    quarters: int = 0
    """Clockwise quarter turns of all pictures; cameras are as stored."""
    note: str = ""
    """Assumptions about its size or its times, joined by "; "."""


class Capture(NamedTuple):
    """Synchronized views of one scene."""

    scene_id: str
    """Captures of one scene share it."""
    views: tuple[View, ...]
    fps: float
    """Nominal frames a second of the slowest view."""
    source: str
    unit: float = 0.0
    """Metres in one world unit; 0 if unknown."""
    caption: str = ""
    license: str = "unknown"
    note: str = ""
    """Assumptions of the importer, in words."""
    generated: bool = False
    """Views disagree a little: a generator made the videos, or cameras are estimated from them."""
    warning: str = ""
    """A sentence about a possible problem; empty for none."""


def make_view(
    name: str,
    files: Sequence[Path],
    intrinsics: Lens,
    world_to_camera: Float[ndarray, "4 4"] | Float[ndarray, "t 4 4"],
    *,
    size: tuple[int, int] | None = None,
    distortion: Sequence[float | int] = (),
    is_fisheye: bool = False,
    timestamps: Sequence[float | int] | Float64[ndarray, "t"] | None = None,
    fps: float | int | None = None,
    offset: float = 0.0,
    depth: Sequence[Path | None] = (),
    confidence: Sequence[Path | None] = (),
    masks: Sequence[Path] = (),
    depth_scale: float | None = None,
    depth_size: tuple[int, int] | None = None,
    beside: Path | None = None,
) -> View:
    """Return a checked view.

    Args:
      name: of the camera, for people.
      files: one video, or one picture an instant in order.
      intrinsics: of pictures of `size`.
      world_to_camera: OpenCV axes; one pose, or one a frame.
      size: rows and columns that were calibrated; None: those of the files.
      distortion: OpenCV's coefficients, up to 8.
      is_fisheye: whether they are cv2.fisheye's k1 k2 k3 k4.
      timestamps: seconds of every frame on the common clock; None: the file's own, from 0.
      fps: of pictures without timestamps.
      offset: seconds on the common clock at which a view without timestamps begins.
      depth: one file an instant, None where it is unknown, or none at all.
      confidence: likewise, of the depth.
      masks: likewise.
      depth_scale: world units per number in the depth files; without it these must hold real
        numbers, which are world units.
      depth_size: rows and columns of depth files that do not say so.
      beside: the capture's folder, where depth and masks are looked for by the camera's name.

    Raises:
      ValueError: naming the camera, what was found and what was expected.
    """
    # The share of a view by which undistorting may narrow it silently.
    least_told = 0.001
    here = f"camera {name}"
    ending = files[0].suffix.lower() if len(files) == 1 else ""
    if beside is not None:
        alone = ending in media_files.PICTURES
        depth = media_files.files_of_camera(beside, "depth", name, alone)
        masks = media_files.files_of_camera(beside, "masks", name, alone)
    check_field(f"{here}, files", len(files) > 0, "none", "a video or pictures")
    for file in filter(None, (*files, *depth, *confidence, *masks)):
        check_field(f"{here}, files", file.is_file(), f"no {file}", "it to exist")
    is_video = ending in media_files.VIDEOS
    own = np.arange(len(files)) / (fps or STILL_FPS)
    if is_video:
        own = video_files.frame_times(files[0])
    t = len(own)
    place = f"{here}, timestamps"
    times = own + offset if timestamps is None else numbers(timestamps, (t,), place)
    for i in np.flatnonzero(np.diff(times) <= 0)[:1]:
        found = f"{times[i + 1]:g} s after {times[i]:g} s, at frame {i + 1}"
        raise ValueError(f"{place}: found {found}, expected increasing seconds")
    for kind, list_ in (("depth", depth), ("confidence", confidence), ("masks", masks)):
        place = f"{here}, {kind}"
        count = f"{len(list_)} files"
        check_field(place, len(list_) in (0, t), count, f"one an instant, {t}, or none")
    lens = np.asarray(intrinsics, np.float64)
    shape = (4, 4) if world_to_camera.ndim == 2 else (t, 4, 4)
    poses = numbers(world_to_camera, shape, f"{here}, world_to_camera")
    poses = np.broadcast_to(poses, (t, 4, 4))
    if is_fisheye:
        four = numbers(distortion, (4,), f"{here}, distortion")
        sides = size or media_files.picture_size(files[0])
        distortion = lenses.usual_lens(four, lens, *sides, f"{here}, fisheye").tolist()
    whole = [*distortion, *[0.0] * (8 - len(distortion))]
    bent = numbers(whole, (8,), f"{here}, distortion")
    notes = []
    with named(f"{here}, "):
        pinhole.check_cameras(lens[None], poses[None])
        if size:
            lens, note = fit_to_file(files[0], lens, size)
            notes.append(note and f"{here}: {note}")
        if bent.any():
            flat = lenses.flat_lens(lens, bent, *media_files.picture_size(files[0]))
            narrowed = 1 - lens[0, 0] / flat[0, 0]
            if narrowed >= least_told:
                end = f"{narrowed:.1%} to what the distorted lens saw"
                notes.append(f"views are narrowed by {end}")
    if not is_video and t > 1 and timestamps is None and fps is None:
        notes.append(f"no --fps given: assuming {STILL_FPS:g} pictures a second")
    maps = tuple(depth), tuple(confidence), tuple(masks), depth_scale, depth_size
    view = View(name, tuple(files), times, lens, bent, poses, *maps)
    return view._replace(note="; ".join(filter(None, notes)))


def make_capture(
    scene_id: str,
    views: Sequence[View],
    *,
    source: str = "",
    notes: Sequence[str] = (),
    **fields: Any,
) -> Capture:
    """Return a capture of views from `make_view`, with their notes joined.

    Args:
      scene_id: captures of one scene share it.
      views: of the scene.
      source: in words, by default the scene.
      notes: assumptions of the importer.
      fields: other fields of `Capture`.

    Raises:
      ValueError: no views, or two of one name.
    """
    names = [view.name for view in views]
    where = f"scene {scene_id}"
    check_field(f"{where}, views", names, "none", "at least one camera")
    twice = sorted({name for name in names if names.count(name) > 1})
    check_field(f"{where}, cameras", not twice, f"{twice} twice", "a name for each")
    rates = [
        1 / np.median(np.diff(v.timestamps)) for v in views if len(v.timestamps) > 1
    ]
    fps = float(min(rates, default=STILL_FPS))
    all_notes = [*notes, *(part for view in views for part in view.note.split("; "))]
    note = "; ".join(dict.fromkeys(filter(None, all_notes)))
    return Capture(scene_id, tuple(views), fps, source or scene_id, note=note, **fields)


def turned(captures: Sequence[Capture], degrees: Mapping[str, int]) -> list[Capture]:
    """Return the captures with pictures that are to be turned clockwise.

    Args:
      captures: what importers read.
      degrees: for names of cameras, or "" for all others; multiples of 90.

    Raises:
      ValueError: a camera that is not there.
    """
    names = {view.name for capture in captures for view in capture.views}
    unknown = sorted(set(degrees) - names - {""})
    check_field("cameras to turn", not unknown, unknown, f"some of {sorted(names)}")
    quarters = {name: degrees.get(name, degrees.get("", 0)) // 90 % 4 for name in names}
    return [
        c._replace(views=tuple(v._replace(quarters=quarters[v.name]) for v in c.views))
        for c in captures
    ]


def fit_to_file(
    file: Path, intrinsics: Lens, size: tuple[int, int]
) -> tuple[Lens, str]:
    """Adapt intrinsics of pictures of `size` to an actual picture; also return a note.

    Pictures of the same shape were resized. Of another shape they are understood only where black
    bars show that they were resized to fit and padded around the middle, as ffmpeg does.

    Raises:
      ValueError: sizes that do not fit.
    """
    # The mean of a row that is a bar: black, and what a codec makes of it.
    most_black_level = 16
    h, w = size
    rows, columns = media_files.picture_size(file)
    if (rows, columns) == size:
        return intrinsics, ""
    note = f"calibrated at {w}x{h}, the files are {columns}x{rows}"
    if abs(rows / h - columns / w) * max(h, w) < 1:
        resized = pinhole.resize_intrinsics(
            intrinsics, rows=rows / h, columns=columns / w
        )
        return resized, f"{note}: intrinsics resized"
    scale = min(rows / h, columns / w)
    top = (rows - scale * h) / 2
    left = (columns - scale * w) / 2
    picture = media_files.first_picture(file).mean(-1)
    bar = int(top) or int(left)
    edges = (picture if top > left else picture.T)[[*range(bar), *range(-bar, 0)]].mean(
        1
    )
    is_padded = bar and edges.max() <= most_black_level
    check_field("size", is_padded, note, "one size, or one shape")
    resized = pinhole.resize_intrinsics(intrinsics, rows=scale, columns=scale)
    padded = pinhole.crop_intrinsics(resized, top=-top, left=-left)
    return padded, f"{note} with black bars: resized by {scale:.4f} and padded"
