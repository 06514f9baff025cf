"""Sources with known cameras: a capture, or a data set's clip.

A capture is an .npz with

    frames           (v t h w 3) uint8 sRGB
    intrinsics       (v 3 3) pixels
    world_to_camera  (v 4 4) or (v t 4 4), OpenCV axes, any world and unit
    depth            (v t h w) z in the same unit, 0 where unknown; may be left out
    masks            (v t h w) above 0 where the subject is; may be left out

or a folder, or a .r3d file, as `full4d data import` reads it, or a folder of films whose cameras
are found; size and instants may be chosen. Of such films, of what a generator wrote, and of a
single camera with depth, at most `usual_rows` rows and `USUAL_FPS` frames a second are taken; such
a camera's whole film is, however long. It becomes a source in the world of its first camera at the
first frame. The unit is the median depth there (of all pictures where that one has none) or,
without depth, the distance to the point nearest to all optical axes. A data set's clip is read in
the same way, in its own size and with all instants.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from full4d_jax.cameras import Cameras
from full4d_jax.grid import About, Grid, Origin, Place
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import refuse, require_option
from full4d_jax.session.files import Arrays
from full4d_jax.source.films_without_cameras import find_captures, read_scene_captures
from full4d_jax.source.options import (
    CaptureOptions,
    ClipOptions,
    DatasetClipOptions,
    HeldOut,
)
from gaussians.fitting.ssim import SSIM_WINDOW
from gaussians.formats.ply_tables import read_tables
from input_pipeline import capture, pinhole, schema, transforms
from input_pipeline.capture_clips import CLIP_FRAMES, CaptureClips
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.importers import colmap, record3d
from input_pipeline.plain_files import check_field, field, load_arrays, named
from input_pipeline.selection import select

Times = Float[ndarray, " t"]
# At most, by default, as with videos.
USUAL_FPS = 8.0
# Arrays of a capture.
NEEDED = ("frames", "intrinsics", "world_to_camera")
FORMAT = "see full4d_jax/source/capture_source.py for the format"


def open_capture(options: CaptureOptions) -> Grid:
    """Read a capture.

    Raises:
      InputError: a field is missing, impossible, or does not fit the others; the message names it.
    """
    path = options.capture
    if path.is_dir() or record3d.is_packed(path):
        return _open_folder(options)
    sizes = {"rows": options.rows, "seconds": options.seconds, "fps": options.fps}
    refuse(sizes, "none, with an .npz")
    arrays = load_capture(path)
    times = np.arange(arrays["frames"].shape[1]) / USUAL_FPS
    return _captured(path.name, arrays, times, options)


def open_dataset_clip(options: DatasetClipOptions) -> Grid:
    """Read a data set's clip as a capture, in the size and for the instants that it has.

    Raises:
      InputError: the data set is unusable, or has no such split, clip or view.
    """
    number = options.clip
    records, example = open_clip(options)
    views = _chosen_views(options.views, len(example.frames))
    instants = np.arange(example.timestamps.shape[1])
    name = f"{options.dataset}, {options.split}, clip {number}"
    with input_errors("dataset", "make the dataset again"):
        entry = records.clips[number]
        size = entry["height"], entry["width"]
        arrays = _decoded(name, select(example, views, instants), size)
    content, split = records.content, records.split
    place = Place(content, split, number, int(views[0]), views, instants, 1.0)
    # The views that are left out are held out.
    if options.views and options.held_out == "auto":
        options = replace(options, held_out="none")
    times = example.timestamps[views[0]]
    generated = example.generated
    grid = _captured(name, arrays, times, options, place, generated=generated)
    return replace(grid, about=replace(grid.about, credit=schema.credit_of(example)))


def _open_folder(options: CaptureOptions) -> Grid:
    """Read the folder of a capture, or a .r3d file, that has one clip.

    Raises:
      InputError: a file does not fit the layout, or there are more clips.
    """
    path = options.capture
    do = "make a data set of it with full4d data import"
    with (
        input_errors("capture", f"see docs/data.md, or {do}"),
        record3d.unpacked(path) as above,
    ):
        captures, count = captures_of(above)
        clips = _clips_of(captures, options)
        if count > 1 or len(clips) > 1:
            found = f"{count} scenes" if count > 1 else f"{len(clips)} clips"
            raise InputError("capture", path, found, "one", f"{do} and give that")
        example = clips[0]
        generated = captures[0].generated
        size = transforms.view_size(example.frames.item(0, 0))
        # Even sides, which a fit from coarse to fine halves.
        if generated:
            size = size[0] // 2 * 2, size[1] // 2 * 2
        arrays = _decoded(path.name, example, size)
    times = example.timestamps[0]
    grid = _captured(path.name, arrays, times, options, generated=generated)
    notes = [grid.about.note, captures[0].note]
    if clips.left_out:
        most = f"as a grid has {CLIP_FRAMES} at most"
        notes.append(f"{clips.left_out} later instants left out, {most}")
    note = "; ".join(filter(None, notes))
    warning = captures[0].warning
    credit = schema.credit_of(example)
    about = replace(grid.about, note=note, warning=warning, credit=credit)
    return replace(grid, about=about)


def captures_of(path: Path) -> tuple[list[capture.Capture], int]:
    """Return the captures of a folder's first scene, and how many scenes it has."""
    scenes, _ = find_captures(path)
    folder, layout, *_ = scenes[0]
    return read_scene_captures(folder, layout, fps=None, inside=folder), len(scenes)


def _clips_of(
    captures: Sequence[capture.Capture], options: CaptureOptions
) -> CaptureClips:
    """Return the clips of captures, of the size and the instants that the options choose."""
    # Of the shorter side, at most, of a generator or an RGB-D camera, without --rows.
    usual_rows = 256
    first = captures[0]
    rows = options.rows
    fps = options.fps
    is_rgbd = len(first.views) == 1 and bool(first.views[0].depth)
    if first.generated or is_rgbd:
        rows = rows or usual_rows
        fps = fps or USUAL_FPS
    stride = 1 if fps is None else max(1, round(first.fps / fps))
    end = None
    if options.seconds is not None:
        end = max(1, round(options.seconds * first.fps))
    if is_rgbd and options.fps is None:
        count = len(first.views[0].timestamps[:end])
        stride = max(stride, math.ceil(count / CLIP_FRAMES))
    return CaptureClips(captures, stride=stride, size=rows, instants=(0, end))


def _decoded(name: str, example: schema.Example, size: tuple[int, int]) -> Arrays:
    """Return the arrays of a capture that a clip holds."""
    clip = transforms.decode(example, height=size[0], width=size[1])
    _check_frames(name, clip.frames)
    arrays = {name: getattr(clip, name) for name in NEEDED}
    if (clip.depth > 0).any():
        arrays["depth"] = clip.depth
    if all(example.masks.flat):
        arrays["masks"] = clip.masks
    return arrays


def open_clip(options: ClipOptions) -> tuple[Records, schema.Example]:
    """Open a split of a data set, and read one of its clips.

    Raises:
      InputError: there is no such data set, split or clip.
    """
    records = open_split(options.dataset, options.split)
    clip = options.clip
    last = len(records) - 1
    require_option("clip", clip, 0 <= clip <= last, f"0 to {last}")
    with input_errors("dataset", "make the dataset again"):
        return records, records[clip]


def instants_from(times: Times, start: float, fps: float) -> Int[ndarray, " n"]:
    """Return the instants of a clip that are nearest to `start` and every 1 / `fps` seconds on.

    Those that are nearest to several of these seconds count once.
    """
    end = times[-1] + _step(times) / 2
    count = 0 if end < start else int((end - start) * fps) + 1
    wanted = start + np.arange(count) / fps
    return np.unique(np.abs(times[:, None] - wanted).argmin(0))


def rate(times: Times, fps: float | None, usual: float) -> float:
    """Return `fps`, or else the frames a second of a clip, at most `usual`."""
    return fps or 1 / max(1 / usual, _step(times))


def _step(times: Times) -> float:
    """Return the usual seconds from one instant to the next; 0 for one."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def load_capture(path: Path) -> Arrays:
    """Return the arrays of a capture in its own world and unit; world_to_camera is (v t 4 4).

    Raises:
      InputError: a field is missing, impossible, or does not fit the others; the message names it.
    """
    with input_errors("capture", FORMAT):
        arrays = load_arrays(path, (*NEEDED, "depth", "masks"))
        frames, _, poses = (field(arrays, name, str(path)) for name in NEEDED)
        _check_frames(str(path), frames)
        v, t, *size, _ = frames.shape
        if poses.shape == (v, 4, 4):
            arrays["world_to_camera"] = np.repeat(poses[:, None], t, 1)
        shapes: dict[str, tuple[int, ...]]
        shapes = {"intrinsics": (v, 3, 3), "world_to_camera": (v, t, 4, 4)}
        shapes |= dict.fromkeys(("depth", "masks"), (v, t, *size))
        for name, array in arrays.items():
            if shape := shapes.get(name):
                fits = array.dtype.kind in "fiub" and array.shape == shape
                found = f"{array.dtype} {array.shape}"
                check_field(f"{path}, {name}", fits, found, f"real numbers {shape}")
        with named(f"{path}, "):
            pinhole.check_cameras(arrays["intrinsics"], arrays["world_to_camera"])
    return arrays


def _check_frames(name: str, frames: ndarray) -> None:
    """Refuse what is no frames, and frames into which the window of SSIM does not fit.

    Raises:
      ValueError: naming the capture.
    """
    shaped = frames.ndim == 5 and frames.shape[-1] == 3 and frames.dtype == np.uint8
    large = shaped and frames.size and min(frames.shape[2:4]) >= SSIM_WINDOW
    expected = f"uint8 (v t h w 3), at least {SSIM_WINDOW} pixels each way"
    check_field(f"{name}, frames", large, f"{frames.dtype} {frames.shape}", expected)


def _captured(
    name: str,
    arrays: Arrays,
    times: Times,
    options: CaptureOptions | DatasetClipOptions,
    place: Place | None = None,
    *,
    generated: bool = False,
) -> Grid:
    """Return a capture as a grid, in the world of its first camera.

    Args:
      name: of the capture, for people.
      arrays: what `load_capture` returns, in any world and unit.
      times: seconds of the frames.
      options: say which pictures are held out, and where points to start from are.
      place: where in a data set the capture is.
      generated: whether views disagree, as a generator's do.

    Raises:
      InputError: the unit is unknown.
    """
    frames = arrays["frames"]
    poses = arrays["world_to_camera"].astype(np.float64)
    first_pose = poses[0, 0]
    poses = pinhole.relative_to(poses, first_pose)
    depth = arrays.get("depth", np.zeros(()))
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0)
    knows_depth = depth.any()
    if knows_depth:
        first = depth[0, 0][depth[0, 0] > 0]
        unit = float(np.median(first if first.size else depth[depth > 0]))
        depth = (depth / unit).astype(np.float32)
    else:
        middle = pinhole.nearest_to_axes(poses[:, 0])
        if middle is None:
            found = "none, and the cameras do not look at one place"
            do = "estimate it by full4d data import --depth ours, or full4d data depth"
            raise InputError("capture", f"{name}, depth", found, "depth", do)
        unit = float(np.linalg.norm(middle))
    v, t, h, w, _ = frames.shape
    lenses = arrays["intrinsics"].astype(np.float32)
    origin = np.full((v, t), Origin.GENERATED if generated else Origin.REAL, np.uint8)
    origin[held_out_pictures(v, t, options.held_out)] = Origin.HELD_OUT
    return Grid(
        frames=frames,
        origin=origin,
        times=times,
        cameras=Cameras(lenses, pinhole.rescale(poses, unit).astype(np.float32), h, w),
        depth=depth if knows_depth else None,
        masks=arrays["masks"] > 0 if "masks" in arrays else None,
        cloud=load_points(options.points, first_pose, unit) if options.points else None,
        about=About(
            note=f"capture {name}: {v} views of {t} frames of {w}x{h}",
            place=None if place is None else place._replace(unit=unit),
        ),
    )


def open_split(dataset: Path, split: str) -> Records:
    """Open a split of a data set.

    Raises:
      InputError: there is no such data set or split.
    """
    with input_errors("dataset", "give another data set or --split"):
        return open_dataset(str(dataset), split)


def _chosen_views(views: Sequence[int], count: int) -> Int[ndarray, " v"]:
    """Return the numbers of the chosen views of `count`; all where none is chosen."""
    order = views or range(count)
    fits = len(set(order)) == len(order) and min(order) >= 0 and max(order) < count
    expected = f"different numbers, 0 to {count - 1}"
    require_option("views", " ".join(map(str, order)), fits, expected)
    return np.array(order)


def held_out_pictures(
    views: int, instants: int, wanted: HeldOut
) -> Bool[ndarray, "v t"]:
    """Return which pictures are held out: one view in eight, of fewer views one instant in eight.

    The last instant is fitted, so that the clip keeps its length.

    Raises:
      InputError: fewer than eight of what is to be held out.
    """
    period = 8
    # The first that is held out; then each eighth.
    first = 4
    held_out = np.zeros((views, instants), bool)
    axes = {"views": held_out, "instants": held_out.T}
    axis: str = wanted
    if wanted == "auto":
        axis = next(
            (name for name, rows in axes.items() if len(rows) >= period), "none"
        )
    if axis == "none":
        return held_out
    count = len(axes[axis])
    found = f"{axis}, of which there are {count}"
    require_option("held_out", found, count >= period, f"{period} or more")
    axes[axis][first : count - (axis == "instants") : period] = True
    return held_out


def load_points(
    path: Path, pose: Float[ndarray, "4 4"], unit: float
) -> Float[ndarray, "n 6"]:
    """Return positions in our world and colours in [0, 1]; grey where a PLY file has none.

    Args:
      path: of the file, in the world of the capture's cameras.
      pose: from there to our world's axes.
      unit: how much of that world one of our units is.

    Raises:
      InputError: the file is missing, damaged or of another kind.
    """
    with input_errors("points", "give another file as --points"):
        if path.suffix == ".ply":
            places, colors = _of_ply(path)
        else:
            places, levels = colmap.read_points(path)
            colors = levels / 255
        fits = np.abs(np.concatenate([places, colors], 1)) <= pinhole.MAX_TRANSLATION
        most = f"numbers of at most {pinhole.MAX_TRANSLATION:g}"
        check_field(path, fits.all(), "NaN, infinite or huge ones", most)
    in_world = (places @ pose[:3, :3].T + pose[:3, 3]) / unit
    return np.concatenate([in_world, colors], 1)


def _of_ply(path: Path) -> tuple[Float[ndarray, "n 3"], Float[ndarray, "n 3"]]:
    vertex = read_tables(path)["vertex"]
    check_field(path, {*"xyz"} <= vertex.keys(), " ".join(vertex), "points x y z")
    places = np.stack([vertex[name] for name in "xyz"], 1).astype(np.float64)
    if not {"red", "green", "blue"} <= vertex.keys():
        return places, np.full_like(places, 0.5)
    colors = np.stack([vertex[name] for name in ("red", "green", "blue")], 1)
    return places, colors / (255.0 if colors.dtype.kind in "ui" else 1.0)
