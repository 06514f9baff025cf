"""What the stages of a run save, array by array, and the check of what is read again.

An array is told by its kind and its axes; a letter stands for the same length in all arrays of a
stage, "..." for any further axes. A name that ends in "?" may be missing. Numbers are finite, but
for those of the kind "score", and `rising` ones increase.

World, unit and axes are those of `full4d_jax.cameras`.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from input_pipeline.cameras import check_cameras

CAMERAS = {"intrinsics?": "float n 3 3", "world_to_camera?": "float n t 4 4"}
SOURCE = {
    "frames": "uint8 v t h w 3",  # of the views that have pictures, the source first
    "given": "bool v t",  # which of them are there
    "times": "rising t",  # seconds
    "note": "text",
    "warning": "text",
    "unposed?": "text",  # why there are no cameras
    "depth_of": "text",  # the views whose depth is known, one of `DEPTH_OF`
    **CAMERAS,
    "depth?": "float d t h w",
    "rate?": "float",
    "between?": "uint8 b h w 3",  # of a camera at rest, about half-way between the instants
    "between_times?": "rising b",
    "point_instants?": "int p",  # still points of a path, in its own unit
    "point_pixels?": "float p 2",
    "point_depth?": "float p",
    # The place in a data set: a hash of it, and where.
    "dataset?": "text",
    "split?": "text",
    "clip?": "int",
    "view?": "int",
    "views?": "int n",
    "instants?": "int t",
    "unit?": "float",
}
STAGES = {
    # Of a capture only the first view's frames: the others are in grid.npz, the depth in depth.npz.
    # Other real views k = 1, 2, ... stand beside the first as arrays `besideK_NAME`.
    "source": SOURCE,
    "depth": {
        "depth": "float ...",  # (t h w) of the source or, of a capture, (v t h w), 0 = unknown, or
        # (v t 0 0) if nobody knows any; a grid without cameras has no such stage
        "of?": "text",  # one of `DEPTH_OF`; format 2 had none
        "path_unit?": "float",  # units of the source's path in one of the world, 1 if none is said
        "beside?": "float k t h w",
    },
    "grid": {
        "frames": "uint8 v t h w 3",
        **{name: axes.replace("n", "v") for name, axes in CAMERAS.items()},
        "projection?": "uint8 o t h w 3",  # of a generated grid, without the source
        "warning?": "text",
        "enlarged?": "bool",  # larger than what the prior was trained on; format 3 had none
        "visible?": "bool v t",  # of a model without poses: the frames that were given
        "held_out?": "bool v t",  # of a capture: the pictures that are not fitted
        "masks?": "bool v t h w",  # of its subject
        "cloud?": "float p 6",  # points to start from
    },
    "scene": {
        "means": "float g 3",
        "quaternions": "float g 4",
        "log_scales": "float g 3",
        "logit_opacities": "float g",
        "harmonics": "float g k 3",
        "velocities?": "float g 3",
        "moments?": "float g",
        "log_durations?": "float g",
        "logit_gates?": "float g",
        "space?": "float 3 r r f",
        "time?": "float 3 r i f",
        "inner?": "float c m",
        "bias?": "float m",
        "outer?": "float m 10",
        "box?": "float 2 3",
        "source_psnr?": "score",  # dB, of a generated grid; see `scene.quality`
        "moving_psnr?": "score",  # NaN where nothing moves, or the camera does
        "moving_psnr_worst?": "score",
        "moving_psnr_worst_at?": "score",  # seconds into the video
        "moving_psnr_between?": "score",  # NaN without pictures between the instants
        "sharpness?": "score",  # NaN without detail
        "straightness?": "score",  # NaN without straight segments
        "straightness_worst_at?": "score",  # seconds into the video
        "fitted_psnr?": "score",  # of a capture
        "held_out_psnr?": "score",  # NaN for none
        "background?": "float 3",  # the colour behind the scene
        "warning?": "text",
    },
}
TOGETHER = [  # arrays of which all are there or none
    ("intrinsics", "world_to_camera"),
    ("between", "between_times"),
    ("point_instants", "point_pixels", "point_depth"),
    ("dataset", "split", "clip", "view", "views", "instants", "unit"),
    ("velocities", "moments", "log_durations", "logit_gates"),
    ("space", "time", "inner", "bias", "outer", "box"),
]
DEPTH_OF = ("nothing", "the source", "all views")
HARMONICS = (1, 4, 9, 16)  # of degree 0 to 3
MAYBE_NONE = ("o", "p")  # other axes have at least one place
KINDS = {"float": "f", "rising": "f", "score": "f", "uint8": "u", "int": "iu", "bool": "b"}
BESIDE = re.compile(r"beside(\d+)_(.+)")


def check_arrays(name: str, arrays: Mapping[str, ndarray], where: str) -> None:
    """Refuse the arrays of a stage unless they are what the stage saves.

    Raises:
      ValueError: naming the array, what was found and what was expected.
    """
    layout, beside = STAGES[name], dict[str, dict[str, ndarray]]()
    for key, array in arrays.items():
        if name == "source" and (found := BESIDE.fullmatch(key)):
            beside.setdefault(found[1], {})[found[2]] = array
    _check(layout, arrays, where)
    if [int(view) for view in beside] != list(range(1, len(beside) + 1)):
        expected = "views 1, 2, ... in order"
        raise ValueError(f"{where}: found views {', '.join(beside)} beside, expected {expected}")
    for view, own in beside.items():
        _check(layout, own, f"{where}, beside{view}")


def _check(layout: Mapping[str, str], arrays: Mapping[str, ndarray], where: str) -> None:
    lengths: dict[str, int] = {}
    for key, axes in layout.items():
        name = key.removesuffix("?")
        if name in arrays:
            _check_array(arrays[name], axes, lengths, f"{where}, array {name}")
        elif name == key:
            raise ValueError(f"{where}: found no array {name}, expected {axes}")
    for name in ("of", "depth_of"):
        if name in arrays and str(arrays[name]) not in DEPTH_OF:
            found, expected = f"{str(arrays[name])!r:.60}", ", ".join(DEPTH_OF)
            raise ValueError(f"{where}, array {name}: found {found}, expected one of {expected}")
    if lengths.get("k", 1) not in HARMONICS and "harmonics" in arrays:
        found = f"{lengths['k']} harmonics"
        raise ValueError(f"{where}, array harmonics: found {found}, expected {HARMONICS}")
    if "inner" in arrays and "space" in arrays and lengths["c"] != 3 * lengths["f"]:
        expected = f"{3 * lengths['f']}, three times the features of space"
        raise ValueError(f"{where}, array inner: found {lengths['c']} rows, expected {expected}")
    for names in TOGETHER:
        there = [name for name in names if name in arrays]
        if there and f"{names[0]}?" in layout and len(there) < len(names):
            lost = next(name for name in names if name not in arrays)
            raise ValueError(f"{where}: found {there[0]}, expected {lost} beside it")
    if "intrinsics" in arrays and "intrinsics?" in layout:
        try:
            check_cameras(arrays["intrinsics"], arrays["world_to_camera"])
        except ValueError as error:
            raise ValueError(f"{where}, {error}") from None


def _check_array(array: ndarray, told: str, lengths: dict[str, int], where: str) -> None:
    """Refuse an array of another kind or other axes; note the lengths of its axes."""
    kind, *axes = told.split()
    if kind == "text":
        if array.dtype.kind != "U" or array.shape:
            raise ValueError(f"{where}: found {array.dtype} {array.shape}, expected a text")
        return
    fits = array.dtype.kind in KINDS[kind] and (kind != "uint8" or array.itemsize == 1)
    if axes != ["..."]:
        fits &= array.ndim == len(axes)
        for axis, length in zip(axes, array.shape, strict=False):
            known = int(axis) if axis.isdecimal() else lengths.setdefault(axis, length)
            fits &= known == length and (length > 0 or axis in MAYBE_NONE)
    if not fits:
        expected = f"{kind} ({' '.join(f'{x}={lengths[x]}' if x in lengths else x for x in axes)})"
        raise ValueError(f"{where}: found {array.dtype} {array.shape}, expected {expected}")
    if kind != "score" and not np.isfinite(array).all():
        bad = np.count_nonzero(~np.isfinite(array))
        raise ValueError(f"{where}: found {bad} NaN or infinite numbers, expected finite ones")
    if kind == "rising" and (np.diff(array) <= 0).any():
        raise ValueError(f"{where}: found times that do not rise, expected increasing seconds")
