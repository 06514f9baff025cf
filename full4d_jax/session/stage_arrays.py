"""What the stages of a run save, array by array, and the check of what is read again.

An array has a kind and axes; a letter stands for the same length in all arrays of a
stage, "..." for any further axes. A name that ends in "?" may be missing. Numbers are finite, but
for those of the kind "score", and such that single precision can square them; `rising` ones are
seconds that increase by as much as a camera's clock does, `scale` ones are units above 0.

World, unit and axes are those of `full4d_jax.cameras`.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy import ndarray

from input_pipeline.cameras import check_cameras

CAMERAS = {"intrinsics?": "float v 3 3", "world_to_camera?": "float v t 4 4"}
# What is behind the subjects of the source camera and beyond its borders, and its depth in world
# units, 0 where pictures show it, at an instant.
PLATE = {"plate?": "uint8 m n 3", "plate_depth?": "float m n", "plate_instant?": "int"}
GRID = {
    "frames": "uint8 v t h w 3",  # black where they are missing
    "origin": "uint8 v t",  # 0 missing, 1 real, 2 held out, 3 generated
    "times": "rising t",  # seconds
    **CAMERAS,
    "depth?": "float d t h w",  # of the first d views, world units, 0 = unknown
    "masks?": "bool v t h w",  # of the subject
    "point_views?": "int p",  # still points that views see, in the unit of the cameras
    "point_instants?": "int p",
    "point_pixels?": "float p 2",
    "point_depth?": "float p",
    "cloud?": "float c 6",  # points to start from
    "between?": "uint8 b h w 3",  # b = t - 1, of a camera at rest, half-way between the instants
    "between_times?": "rising b",
    "around?": "uint8 e h w 3",  # of a camera at rest, before and after the instants
    **PLATE,
    "note": "text",
    "warning": "text",
    "unposed": "text",  # why there are no cameras
    "enlarged": "bool",  # larger than what the prior was trained on
    "rate?": "scale",
    "sound?": "uint8 s",  # an audio file
    "distances?": "scale k",  # of the scene from each real view of a rig, world units
    # The place in a data set: a hash of it, and where.
    "dataset?": "text",
    "split?": "text",
    "clip?": "int",
    "view?": "int",
    "views?": "int v",
    "instants?": "int t",
    "unit?": "scale",
}
STAGES = {
    "source": GRID,
    "depth": {
        "depth": "float d t h w",  # of the real rows, 0 = unknown
        "path_unit": "scale",  # units of the source's path in one of the world
        **PLATE,
    },
    "grid": GRID | {"projection?": "uint8 o t h w 3"},  # of a generated grid, without the source
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
        "embeddings?": "float g c",
        "inner?": "float c m",
        "biases?": "float i m",
        "outer?": "float m 10",
        "reach?": "scale",
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
        "color_disagreement?": "score",  # of generated views, see `scene.disagreement`
        "place_disagreement?": "score",  # pixels
        "disagreement?": "text",
        "background?": "float 3",  # the colour behind the scene
        "warning?": "text",
    },
}
# Beside the arrays of every stage: of what it is made, and how long that took.
MARKS = {"fingerprint": "text", "before": "text", "seconds": "float"}
TOGETHER = [  # arrays of which all are there or none
    ("intrinsics", "world_to_camera"),
    ("between", "between_times"),
    ("plate", "plate_depth", "plate_instant"),
    ("point_views", "point_instants", "point_pixels", "point_depth"),
    ("dataset", "split", "clip", "view", "views", "instants", "unit"),
    ("velocities", "moments", "log_durations", "logit_gates"),
    ("embeddings", "inner", "biases", "outer", "reach"),
]
MAX_ORIGIN = 3  # generated
HARMONICS = (1, 4, 9, 16)  # of degree 0 to 3
MAYBE_NONE = ("o", "p")  # other axes have at least one place
MAX_NUMBER = 1e18
MIN_SAMPLES = 3  # of a deformation: fewer cannot bend
MAX_SECONDS = 1e9  # 31 years
MIN_STEP = 1e-6  # seconds between two instants
FLOATS = dict.fromkeys(("float", "rising", "scale", "score"), "f")
KINDS = FLOATS | {"uint8": "u", "int": "iu", "bool": "b"}  # of dtypes


def check_saved(name: str, saved: Mapping[str, ndarray], where: str) -> None:
    """Refuse a saved stage without its marks, or with other arrays than it saves.

    Raises:
      ValueError: naming the array, what was found and what was expected.
    """
    _check_layout(MARKS, saved, where)
    if name in STAGES:
        check_arrays(name, saved, where)


def check_arrays(name: str, arrays: Mapping[str, ndarray], where: str) -> None:
    """Refuse the arrays of a stage unless they are what the stage saves.

    Raises:
      ValueError: naming the array, what was found and what was expected.
    """
    layout = STAGES[name]
    lengths = _check_layout(layout, arrays, where)
    for own, found, fits, expected in _lengths_that_fit(arrays, lengths):
        if not fits:
            raise ValueError(f"{where}, array {own}: found {found}, expected {expected}")
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


def _check_layout(
    layout: Mapping[str, str], arrays: Mapping[str, ndarray], where: str
) -> dict[str, int]:
    """Refuse arrays that are not those of a layout; return the lengths of their axes."""
    lengths: dict[str, int] = {}
    for key, axes in layout.items():
        own = key.removesuffix("?")
        if own in arrays:
            _check_array(arrays[own], axes, lengths, f"{where}, array {own}")
        elif own == key:
            raise ValueError(f"{where}: found no array {own}, expected {axes}")
    return lengths


def _lengths_that_fit(
    arrays: Mapping[str, ndarray], lengths: Mapping[str, int]
) -> Iterator[tuple[str, int, bool, object]]:
    """Yield arrays with a number of theirs, whether it fits the others, and what would fit."""
    if "harmonics" in arrays:
        yield "harmonics", lengths["k"], lengths["k"] in HARMONICS, HARMONICS
    if "biases" in arrays:
        expected = f"{MIN_SAMPLES} or more rows, over time"
        yield "biases", lengths["i"], lengths["i"] >= MIN_SAMPLES, expected
    if "origin" in arrays:
        most = int(arrays["origin"].max())
        yield "origin", most, most <= MAX_ORIGIN, f"0 to {MAX_ORIGIN}"
    if "plate_instant" in arrays:
        instant = int(arrays["plate_instant"])
        yield "plate_instant", instant, 0 <= instant < lengths["t"], "one of the instants"
    if "depth" in arrays and "v" in lengths:
        yield "depth", lengths["d"], lengths["d"] <= lengths["v"], f"at most {lengths['v']} views"
    if "between" in arrays:
        between = lengths["t"] - 1
        yield "between", lengths["b"], lengths["b"] == between, f"{between}, between instants"


def _check_array(array: ndarray, layout: str, lengths: dict[str, int], where: str) -> None:
    """Refuse an array of another kind or other axes; note the lengths of its axes."""
    kind, *axes = layout.split()
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
    if kind != "score" and array.dtype.kind == "f":
        _check_numbers(array, kind, where)


def _check_numbers(array: ndarray, kind: str, where: str) -> None:
    """Refuse finite numbers that what reads them would make infinite."""
    largest = float(np.abs(array).max(initial=0))
    smallest = float(array.min(initial=1))
    most = {"rising": MAX_SECONDS}.get(kind, MAX_NUMBER)
    if largest > most:
        raise ValueError(f"{where}: found numbers of {largest:g}, expected at most {most:g}")
    if kind == "scale" and smallest < 1 / MAX_NUMBER:
        raise ValueError(f"{where}: found {smallest:g}, expected numbers above {1 / MAX_NUMBER:g}")
    if kind == "rising" and (steps := np.diff(array)).size and steps.min() < MIN_STEP:
        found = f"times that rise by {steps.min():g} s"
        raise ValueError(f"{where}: found {found}, expected increasing seconds, by {MIN_STEP:g}")
