"""Captures: synchronized pictures of several calibrated cameras, to be lifted as they are.

A capture is an .npz with

    frames           (v t h w 3) uint8 sRGB
    intrinsics       (v 3 3) pixels
    world_to_camera  (v 4 4) or (v t 4 4), OpenCV axes, any world and unit
    depth            (v t h w) z in the same unit, 0 where unknown; may be left out

It is read into the world of the first camera at the first frame, whose unit is the median depth
there (of all pictures where it has none) or, without depth, the distance to the point nearest to
all optical axes. Then Gaussians start all over the volume that the cameras look at.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.session.errors import InputError, as_input_error, require_file
from full4d_jax.session.files import Arrays, open_folder
from full4d_jax.session.stages import PLACE, Stages
from full4d_jax.source.dataset_source import read_clip
from gaussians.losses import WINDOW
from input_pipeline.cameras import (
    centers,
    check_cameras,
    nearest_to_axes,
    relative_to,
    rescale,
)
from input_pipeline.footage import UNREADABLE

NEAR, FAR = 0.4, 3.0  # of random depth, relative to the camera's distance from the centre
SMALLEST = f"at least {WINDOW} pixels each way"
FORMAT = "see full4d_jax/source/captures.py for the format"
OF_DATASETS = "estimate it with full4d data depth"


def read_capture(path: Path) -> Arrays:
    """The arrays of an .npz as `normalize` gives them.

    Raises:
      InputError: naming the field that is missing, impossible, or does not fit the others.
    """
    return normalize(path, load_capture(path))


def normalize(path: Path, arrays: Arrays, do: str = FORMAT) -> Arrays:
    """frames, intrinsics, world_to_camera (v t 4 4) and depth (v t h w) to start from, and unit.

    Args:
      path: where the capture is, for messages.
      arrays: what `load_capture` returns, in any world and unit.
      do: what helps where nothing tells the unit, for messages.

    Raises:
      InputError: nothing tells the unit.
    """
    frames, poses = arrays["frames"], arrays["world_to_camera"]
    poses = relative_to(poses.astype(np.float64), poses[0, 0].astype(np.float64))
    if "depth" in arrays:
        depth = arrays["depth"]
        depth = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0)
        _require(path, "depth", depth, bool((depth > 0).any()), "some depth > 0")
        first = depth[0, 0][depth[0, 0] > 0]
        unit = float(np.median(first if first.size else depth[depth > 0]))
    else:
        middle = nearest_to_axes(poses[:, 0])
        if middle is None:
            found = "none, and the cameras do not look at one place"
            raise InputError("capture", f"{path}, depth", found, "depth", do)
        depth, unit = random_depth(poses, frames.shape[:4], middle), float(np.linalg.norm(middle))
    return {
        "frames": frames,
        "intrinsics": arrays["intrinsics"].astype(np.float32),
        "world_to_camera": rescale(poses, unit).astype(np.float32),
        "depth": (depth / unit).astype(np.float32),
        "unit": np.asarray(unit),
    }


def load_capture(path: Path) -> Arrays:
    """The arrays of a capture in its own world and unit; world_to_camera is (v t 4 4).

    Raises:
      InputError: as `read_capture`.
    """
    arrays = _load(path)
    frames, poses = arrays["frames"], arrays["world_to_camera"]
    shaped = frames.ndim == 5 and frames.shape[-1] == 3 and frames.dtype == np.uint8
    _require(path, "frames", frames, shaped and frames.size > 0, "uint8 (v t h w 3)")
    v, t, h, w, _ = frames.shape
    _require(path, "frames", frames, _large(frames), SMALLEST)
    if poses.shape == (v, 4, 4):
        poses = np.repeat(poses[:, None], t, 1)
    fits = poses.shape == (v, t, 4, 4)
    _require(path, "world_to_camera", poses, fits, f"({v} 4 4) or ({v} {t} 4 4)")
    try:
        check_cameras(arrays["intrinsics"], poses)
    except ValueError as error:
        raise as_input_error("capture", ValueError(f"{path}, {error}"), FORMAT) from None
    if "depth" in arrays:
        depth = arrays["depth"]
        _require(path, "depth", depth, depth.shape == (v, t, h, w), f"({v} {t} {h} {w})")
    return arrays | {"world_to_camera": poses}


def take_capture(stages: Stages, path: Path) -> None:
    """The stages source, depth and grid from a capture: nothing is estimated or generated."""
    _take(stages, path.name, {"capture": path}, {}, read_capture(path))


def take_clip(
    stages: Stages, dataset: Path, split: str = "train", clip: int = 0, views: Sequence[int] = ()
) -> None:
    """Take a clip of a dataset instead; arguments and errors as in `dataset_source.read_clip`."""
    read, name = read_clip(dataset, split, clip, views), f"{dataset}, {split}, clip {clip}"
    _require(dataset, "frames", read["frames"], _large(read["frames"]), SMALLEST)
    capture = normalize(dataset, read, OF_DATASETS)
    taken = {name: read[name] for name in PLACE} | {"unit": capture["unit"]}
    _take(stages, name, taken, taken, capture)


def _take(
    stages: Stages, name: str, inputs: Mapping[str, Any], taken: Arrays, capture: Arrays
) -> None:
    open_folder(stages.folder)
    v, t, h, w, _ = capture["frames"].shape
    source = taken | {
        "frames": capture["frames"][0],
        "intrinsics": capture["intrinsics"][0],
        "note": np.asarray(f"capture {name}: {v} views of {t} frames of {w}x{h}"),
    }
    stages.run("source", inputs, lambda: source)
    stages.run("depth", {}, lambda: {"depth": capture["depth"]})
    names = ("frames", "intrinsics", "world_to_camera")
    stages.run("grid", {}, lambda: {name: capture[name] for name in names})


def random_depth(
    world_to_camera: Float[ndarray, "v t 4 4"],
    shape: tuple[int, ...],
    middle: Float[ndarray, "3"],
) -> Float[ndarray, "v t h w"]:
    """Log-uniform depth of every pixel around the distance of its camera from the middle.

    The same at all instants, so that what stands still starts still.
    """
    distance = np.linalg.norm(centers(world_to_camera) - middle, axis=-1)[..., None, None]
    rng = np.random.default_rng(0)
    share = np.exp(rng.uniform(np.log(NEAR), np.log(FAR), (shape[0], 1, *shape[2:])))
    return (distance * share).astype(np.float32)


def _load(path: Path) -> Arrays:
    require_file("capture", path, "an .npz file", FORMAT)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except UNREADABLE:
        raise InputError("capture", path, "another kind of file", "an .npz file", FORMAT) from None
    for name in ("frames", "intrinsics", "world_to_camera"):
        if name not in arrays:
            found = ", ".join(sorted(arrays)) or "nothing"
            raise InputError("capture", path, found, f"an array {name}", FORMAT)
    for name in ("intrinsics", "world_to_camera", "depth"):
        if name in arrays:
            _require(path, name, arrays[name], arrays[name].dtype.kind in "fiu", "real numbers")
    return arrays


def _large(frames: ndarray) -> bool:
    return min(frames.shape[2:4]) >= WINDOW


def _require(path: Path, name: str, array: ndarray, fits: bool, expected: str) -> None:
    if not fits:
        found = f"{array.dtype} {array.shape}" if array.size else "nothing"
        raise InputError("capture", f"{path}, {name}", found, expected, FORMAT)
