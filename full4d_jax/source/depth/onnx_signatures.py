"""Published depth networks, recognized by the names of the outputs in their .onnx files.

    MoGe-2             microsoft/MoGe, docs/onnx.md and moge/model/v2.py; files that are out say
                       `scale` for `metric_scale`
    Depth Pro          onnx-community/DepthPro-ONNX: metres, and `focallength_px` at the width of
                       the input
    Depth Anything 3   onnx-community/depth-anything-v3-small, with an axis of frames, and exports
                       with `depth`, `depth_conf`, `extrinsics`, `intrinsics` in the input's pixels;
                       long side 504, ByteDance-Seed/Depth-Anything-3, README.md
    Depth Anything     onnx-community/depth-anything-v2-small, and every other file

Networks of metric Depth Anything have the names of its usual ones: `file_network` tells them apart.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.geometry.arrays import Mask
from full4d_jax.session.errors import InputError
from full4d_jax.source import options

Outputs = Mapping[str, ndarray]
Triple = tuple[float, float, float]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def depth_output(outputs: Outputs) -> ndarray:
    """Return the output that is called depth, not its confidence, or the first one."""
    named = [
        name
        for name in outputs
        if "depth" in name.lower() and "conf" not in name.lower()
    ]
    return outputs[named[0] if named else next(iter(outputs))]


def depth_of_points(outputs: Outputs) -> ndarray:
    """Return z of MoGe's points (b h w 3), 0 outside its mask.

    Its points are known up to a shift of z, which makes rays of one lens of them.
    """
    points, inside = _points(outputs)
    _, shift = focal_and_shift(points, inside)
    scale = float(np.ravel(_output(outputs, "scale"))[0])
    z = (points[..., 2] + shift) * scale
    return np.where(inside & (z > 0), z, 0)[None]


def focal_of_pixels(outputs: Outputs, width: int) -> float:
    """Return Depth Pro's focal length over the width, from pixels of the input."""
    return float(np.median(_output(outputs, "foc"))) / width


def focal_of_intrinsics(outputs: Outputs, width: int) -> float | None:
    """Return the focal length over the width, from intrinsics (... 3 3) in the input's pixels."""
    if not any("intrinsics" in name.lower() for name in outputs):
        return None
    return float(np.median(_output(outputs, "intrinsics")[..., 0, 0])) / width


def focal_of_points(outputs: Outputs, width: int) -> float:
    """Return the focal length over the width, of MoGe's points."""
    return focal_and_shift(*_points(outputs))[0] / width


def focal_and_shift(
    points: Float[ndarray, "h w 3"], inside: Mask
) -> tuple[float, float]:
    """Return the focal length in pixels, and what is to be added to z.

    f (x, y) / (z + s) = (u, v), pixels from the middle, holds as well as it can: the squares of
    f (x, y) - s (u, v) - z (u, v), each over (z + s)^2, are least. Of fewer than `fewest_points`,
    such as of a sky, it is a lens as wide as the picture, and no shift.
    """
    most_points = 4096
    fewest_points = 16
    fit_rounds = 5
    height, width = inside.shape
    rows, columns = np.nonzero(inside)
    if len(rows) < fewest_points:
        return float(width), 0.0
    step = max(1, len(rows) // most_points)
    rows, columns = rows[::step], columns[::step]
    pixels = np.stack([columns + 0.5 - width / 2, rows + 0.5 - height / 2])
    chosen = points[rows, columns].astype(np.float64)
    places = chosen[:, :2].T.ravel()
    seen_at = pixels.ravel()
    depth = np.tile(chosen[:, 2], 2)
    weights = np.ones_like(depth)
    focal = float(width)
    shift = 0.0
    for _ in range(fit_rounds):
        system = np.stack([places, -seen_at], 1) * weights[:, None]
        focal, shift = np.linalg.lstsq(system, seen_at * depth * weights, rcond=None)[0]
        far = depth + shift
        weights = 1 / np.maximum(far, 1e-2 * max(float(np.median(far)), 1e-6))
    return float(focal), float(shift)


def _points(outputs: Outputs) -> tuple[Float[ndarray, "h w 3"], Mask]:
    """Return MoGe's points of the first picture, and where they count."""
    points = _output(outputs, "points")[0]
    mask = _output(outputs, "mask")[0].reshape(points.shape[:2])
    return points, (mask > 0.5) & np.isfinite(points).all(-1)


def _output(outputs: Outputs, word: str) -> ndarray:
    """Return the first output with this word in its name."""
    return next(x for name, x in outputs.items() if word in name.lower())


class Signature(NamedTuple):
    """Common properties of networks of one origin.

    Attributes:
      name: whose they are.
      kind: what their values are, unless a person says otherwise.
      side: side of the pictures in pixels, where the file leaves it free.
      mean: of the colours in [0, 1], or of each, subtracted.
      deviation: by which they are then divided.
      of_long_side: whether `side` is the long side, not the short one.
      multiple: of which free sides are multiples, such as a vision transformer's patches.
      depth: returns the map (1 h w) of outputs.
      focal: returns the horizontal focal length of outputs over the width of the picture, from the
        input's width in pixels; None for networks that do not know it.
    """

    name: str
    kind: options.DepthKind
    side: int
    mean: Triple | float = IMAGENET_MEAN
    deviation: Triple | float = IMAGENET_DEVIATION
    of_long_side: bool = False
    multiple: int = 14
    depth: Callable[[Outputs], ndarray] = depth_output
    focal: Callable[[Outputs, int], float | None] | None = None


MOGE = Signature(
    "MoGe-2",
    "metric",
    side=518,
    mean=0.0,
    deviation=1.0,
    depth=depth_of_points,
    focal=focal_of_points,
)
DEPTH_PRO = Signature(
    "Depth Pro", "metric", side=1536, mean=0.5, deviation=0.5, focal=focal_of_pixels
)
DEPTH_ANYTHING_3 = Signature(
    "Depth Anything 3", "depth", side=504, of_long_side=True, focal=focal_of_intrinsics
)
DEPTH_ANYTHING = Signature("Depth Anything", "disparity", side=518)


def signature_of(axes: int, outputs: tuple[str, ...]) -> Signature:
    """Return the signature of a file, by the axes of its input and the names of its outputs."""
    names = " ".join(outputs).lower()
    if all(word in names for word in ("points", "mask", "scale")):
        return MOGE
    if "depth" in names and "foc" in names:
        return DEPTH_PRO
    more = "conf", "intrinsics", "extrinsics", "sky"
    has_more = any(word in names for word in more)
    if "depth" in names and (axes == 5 or has_more):
        return DEPTH_ANYTHING_3
    return DEPTH_ANYTHING


def with_metadata(one: Signature, metadata: Mapping[str, str], path: Path) -> Signature:
    """Return a signature with what a file's metadata say of its colours, sides and values.

    `mean` and `std` are three numbers each, of colours in [0, 1]; `multiple` is one; `kind` is a
    word of `--depth_kind`.

    Raises:
      InputError: one of them is something else.
    """
    fields = {
        "mean": ("mean", "three numbers"),
        "std": ("deviation", "three numbers, each above 0"),
        "multiple": ("multiple", "a whole number above 0"),
        "kind": ("kind", " or ".join(get_args(options.DepthKind))),
    }
    changed = {}
    for key, (field, expected) in fields.items():
        text = metadata.get(key)
        if text is None:
            continue
        changed[field] = _value(key, text)
        if changed[field] is None:
            where = f"{path}, metadata, {key}"
            do = "write it again as docs/howto.md says"
            raise InputError("depth network", where, text, expected, do)
    return one._replace(**changed)


def _value(key: str, text: str) -> str | int | tuple[float, ...] | None:
    """Return what an entry of a file's metadata says; None where it is something else."""
    if key == "kind":
        return text if text in get_args(options.DepthKind) else None
    if key == "multiple":
        return int(text) if text.isdecimal() and int(text) > 0 else None
    try:
        numbers = tuple(float(x) for x in text.replace(",", " ").split())
    except ValueError:
        return None
    fits = len(numbers) == 3 and np.isfinite(numbers).all()
    return numbers if fits and (key == "mean" or min(numbers) > 0) else None


def sides_of(one: Signature, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns at which a network of free sides sees a picture of this size."""
    scale = one.side / (max if one.of_long_side else min)(height, width)
    multiple = one.multiple
    rows = max(1, round(height * scale / multiple)) * multiple
    columns = max(1, round(width * scale / multiple)) * multiple
    return rows, columns
