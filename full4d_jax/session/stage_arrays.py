"""Arrays that the stages of a run save, and the check of those that are read again.

An array has a kind and axes; a letter stands for the same length in all arrays of a stage. A name
that ends in "?" may be missing. Of the kinds, `rising` ones are seconds that increase by as much as
a camera's clock does, `scale` ones are units above 0, and a `score` may be NaN.

World, unit and axes are those of `full4d_jax.cameras`.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy import ndarray

from full4d_jax.grid import ARRAYS
from input_pipeline.pinhole import check_cameras
from input_pipeline.plain_files import check_field, named

GRID = {name: axes for part in ARRAYS.values() for name, axes in part.values()}
PLATE = dict(ARRAYS["plate"].values())
STAGES = {
    "source": GRID,
    # Depth of the real rows, 0 = unknown; units of the source's path in one of the world; and what
    # passes before a camera that moves.
    "depth": {
        "depth": "float d t h w",
        "path_unit": "scale",
        "masks?": "bool a t h w",
        **PLATE,
    },
    # The projection is of a generated grid, without the source.
    "grid": GRID | {"projection?": "uint8 o t h w 3"},
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
        # `scene.quality` says what they measure: of a generated grid,
        "source_psnr?": "score",
        "moving_psnr?": "score",
        "moving_psnr_worst?": "score",
        "moving_psnr_worst_at?": "score",
        "moving_psnr_between?": "score",
        "sharpness?": "score",
        "straightness?": "score",
        "straightness_worst_at?": "score",
        # of a capture,
        "fitted_psnr?": "score",
        "held_out_psnr?": "score",
        # and of generated views, see `scene.disagreement`.
        "color_disagreement?": "score",
        "place_disagreement?": "score",
        "disagreement?": "text",
        # The colour behind the scene.
        "background?": "float 3",
        "warning?": "text",
    },
}
# Beside the arrays of every stage: of what it is made, and how long that took.
MARKS = {"fingerprint": "text", "before": "text", "seconds": "float"}
# In a data set.
PLACE = tuple(ARRAYS["place"])
# Of a grid that a prior completed.
GENERATION = tuple(ARRAYS["generation"])
# Arrays of which all are there or none.
TOGETHER = [
    *(
        tuple(name.removesuffix("?") for name, _ in ARRAYS[part].values())
        for part in ("place", "generation", "cameras", "between", "plate", "points")
    ),
    ("velocities", "moments", "log_durations", "logit_gates"),
    ("embeddings", "inner", "biases", "outer", "reach"),
]
# What fits of an array and the lengths of all axes, in code and in words.
FITS: dict[str, tuple[Callable[[ndarray, dict[str, int]], object], str]] = {
    "harmonics": (lambda _, n: n["k"] in (1, 4, 9, 16), "1, 4, 9 or 16 of them"),
    "biases": (lambda _, n: n["i"] >= 3, "3 or more rows, over time"),
    "origin": (lambda x, _: x.max() <= 3, "0 to 3"),
    "plate_instant": (lambda x, n: 0 <= x < n["t"], "one of the instants"),
    "depth": (lambda _, n: n["d"] <= n.get("v", n["d"]), "at most as many as views"),
    "between": (lambda _, n: n["b"] == n["t"] - 1, "one between every two instants"),
}
# Other axes have at least one place.
MAYBE_NONE = ("o", "p")
# Letters of numpy's types.
TYPES = {"uint8": "u", "int": "iu", "bool": "b", "text": "U"}
# Numbers that single precision can square; times are seconds, at most 31 years.
BOUNDS = {"float": (-1e18, 1e18), "scale": (1e-18, 1e18), "rising": (-1e9, 1e9)}
# Seconds between two instants.
MIN_STEP = 1e-6


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
    lengths = _check_layout(STAGES[name], arrays, where)
    for own in FITS.keys() & arrays.keys():
        fits, expected = FITS[own]
        found = f"shape {arrays[own].shape} with numbers up to {arrays[own].max():g}"
        place = f"{where}, array {own}"
        check_field(place, fits(arrays[own], lengths), found, expected)
    for names in TOGETHER:
        there = [own for own in names if own in arrays]
        is_whole = len(there) in (0, len(names))
        check_field(where, is_whole, ", ".join(there), ", ".join(names))
    if "intrinsics" in arrays:
        with named(f"{where}, "):
            check_cameras(arrays["intrinsics"], arrays["world_to_camera"])


def _check_layout(
    layout: Mapping[str, str], arrays: Mapping[str, ndarray], where: str
) -> dict[str, int]:
    """Refuse arrays that are not those of a layout; return the lengths of their axes."""
    lengths: dict[str, int] = {}
    for key, axes in layout.items():
        own = key.removesuffix("?")
        check_field(where, own in arrays or own != key, f"no array {own}", axes)
        if own in arrays:
            _check_array(arrays[own], axes, lengths, f"{where}, array {own}")
    return lengths


def _check_array(
    array: ndarray, layout: str, lengths: dict[str, int], where: str
) -> None:
    """Refuse an array of another kind or other axes; note the lengths of its axes."""
    kind, *axes = layout.split()
    fits = array.dtype.kind in TYPES.get(kind, "f") and array.ndim == len(axes)
    fits &= kind != "uint8" or array.itemsize == 1
    for axis, length in zip(axes, array.shape, strict=False):
        known = int(axis) if axis.isdecimal() else lengths.setdefault(axis, length)
        fits &= known == length and (length > 0 or axis in MAYBE_NONE)
    named_axes = [f"{x}={lengths[x]}" if x in lengths else x for x in axes]
    expected = f"{kind} ({' '.join(named_axes)})"
    check_field(where, fits, f"{array.dtype} {array.shape}", expected)
    if kind not in BOUNDS:
        return
    low, high = BOUNDS[kind]
    bad = array[~((array >= low) & (array <= high))]
    if bad.size:
        found = f"{bad.size} numbers such as {bad[0]:g}"
        raise ValueError(f"{where}: found {found}, expected {low:g} to {high:g}")
    if kind == "rising":
        least = np.diff(array).min(initial=np.inf)
        expected = f"increasing seconds, by {MIN_STEP:g}"
        check_field(
            where, least >= MIN_STEP, f"times that rise by {least:g} s", expected
        )
