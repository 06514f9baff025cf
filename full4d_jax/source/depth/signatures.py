"""Inputs and outputs of published depth networks, recognized by names in their .onnx files.

`SIGNATURES` is the table, in the order in which a file is compared with it. No file was downloaded
for it; the names, colours and units are those of these repositories, on GitHub or Hugging Face:

    MoGe-2                 microsoft/MoGe, docs/onnx.md and moge/model/v2.py; files that are out say
                           `scale` for `metric_scale`
    UniDepth V2            lpiccinelli-eth/UniDepth, unidepth/models/unidepthv2/export.py: `pts_3d`,
                           `confidence`, `intrinsics`; earlier `out_K`, `depth`
    Metric3D               YvanYin/Metric3D, onnx/, and onnx-community/metric3d-vit-small: metres of
                           a lens of 1,000 pixels, colours normalised within
    Depth Pro              onnx-community/DepthPro-ONNX: metres, and `focallength_px` at the width
                           of the input
    Depth Pro, raw         apple/ml-depth-pro, depth_pro.py, and transformers: canonical inverse
                           depth, and a field of view in degrees
    Depth Anything 3       onnx-community/depth-anything-v3-small, with an axis of frames, and
                           exports with `depth`, `depth_conf`, `extrinsics`, `intrinsics` in the
                           input's pixels; long side 504, ByteDance-Seed/Depth-Anything-3, README.md
    Video Depth Anything   DepthAnything/Video-Depth-Anything: (1 32 3 h w), or (32 3 h w)
    ZipDepth               fabiotosi92/ZipDepth, scripts/export.py, zipdepth/inference/predictor.py:
                           `image` in [0, 1] to `depth`
    Depth Anything         onnx-community/depth-anything-v2-small, all that no row before matches

The last one's networks of metric depth have the names of its usual ones: `sign` distinguishes them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from full4d_jax.session.errors import InputError
from full4d_jax.source.options import DepthKind

Outputs = Mapping[str, ndarray]
Triple = tuple[float, float, float]

MEAN = (0.485, 0.456, 0.406)  # of ImageNet's colours
DEVIATION = (0.229, 0.224, 0.225)
PATCH = 14  # of a vision transformer, of which sides are multiples
WINDOW = 32  # frames at once: what Video Depth Anything knows
NUMBERS = {"num_tokens": 1800}  # MoGe-2's own choice between 1,200 and 3,600
INSIDE = 0.5  # of MoGe's mask, from which on a point counts
POINTS_FITTED = 4096
FEWEST_POINTS = 16  # that determine a lens
FIT_ROUNDS = 5


def depth_output(outputs: Outputs) -> ndarray:
    """Return the output that is called depth, or the first where none is."""
    return outputs[depth_name(tuple(outputs)) or next(iter(outputs))]


def depth_name(names: tuple[str, ...]) -> str | None:
    """Return the name of the output that is depth, not how sure it is, or None."""
    not_depth = "conf", "ssi", "normal"
    named = [name for name in names if "depth" in name.lower()]
    return next((name for name in named if not any(x in name.lower() for x in not_depth)), None)


def inverse_of_canonical(outputs: Outputs) -> ndarray:
    """Return Depth Pro's metres (b h w): the focal length over canonical inverse depth."""
    return focal_of_view(outputs, 0) / np.maximum(depth_output(outputs), 1e-4)


def depth_of_rays(outputs: Outputs) -> ndarray:
    """Return z of UniDepth's points (b 3 h w)."""
    return one_of(outputs, "pts_3d")[:, 2]


def depth_of_points(outputs: Outputs) -> ndarray:
    """Return z of MoGe's points (b h w 3), 0 outside its mask.

    Its points are known up to a shift of z, which makes rays of one lens of them.
    """
    points, inside = _points(outputs)
    _, shift = focal_and_shift(points, inside)
    scale = float(np.ravel(one_of(outputs, "scale"))[0])
    z = (points[..., 2] + shift) * scale
    return np.where(inside & (z > 0), z, 0)[None]


def focal_of_pixels(outputs: Outputs, width: int) -> float:
    """Return Depth Pro's focal length over the width, from pixels of the input."""
    return float(np.median(one_of(outputs, "foc"))) / width


def focal_of_view(outputs: Outputs, _: int) -> float:
    """Return the focal length over the width, from a horizontal field of view in degrees."""
    degrees = float(np.median(one_of(outputs, "fov", "field_of_view")))
    return 0.5 / float(np.tan(np.radians(degrees) / 2))


def focal_of_intrinsics(outputs: Outputs, width: int) -> float | None:
    """Return the focal length over the width, from intrinsics (... 3 3) in the input's pixels."""
    if not any("intrinsics" in name.lower() for name in outputs):
        return None
    return float(np.median(one_of(outputs, "intrinsics")[..., 0, 0])) / width


def focal_of_camera(outputs: Outputs, width: int) -> float:
    """Return the focal length over the width, from UniDepth's earlier `out_K`."""
    return float(np.median(one_of(outputs, "out_k")[..., 0, 0])) / width


def focal_of_points(outputs: Outputs, width: int) -> float:
    """Return the focal length over the width, of MoGe's points."""
    return focal_and_shift(*_points(outputs))[0] / width


def focal_and_shift(
    points: Float[ndarray, "h w 3"], inside: Bool[ndarray, "h w"]
) -> tuple[float, float]:
    """Return the focal length in pixels, and what is to be added to z.

    f (x, y) / (z + s) = (u, v), pixels from the middle, holds as well as it can: the squares of
    f (x, y) - s (u, v) - z (u, v), each over (z + s)^2, are least. Of fewer than `FEWEST_POINTS` it
    is a lens as wide as the picture, and no shift.
    """
    height, width = inside.shape
    rows, columns = np.nonzero(inside)
    if len(rows) < FEWEST_POINTS:  # such as the sky alone
        return float(width), 0.0
    step = max(1, len(rows) // POINTS_FITTED)
    rows = rows[::step]
    columns = columns[::step]
    pixels = np.stack([columns + 0.5 - width / 2, rows + 0.5 - height / 2])
    chosen = points[rows, columns].astype(np.float64)
    x = chosen[:, 0]
    y = chosen[:, 1]
    z = chosen[:, 2]
    places = np.concatenate([x, y])
    seen_at = pixels.ravel()
    depth = np.concatenate([z, z])
    weights = np.ones_like(depth)
    focal = float(width)
    shift = 0.0
    for _ in range(FIT_ROUNDS):
        system = np.stack([places, -seen_at], 1) * weights[:, None]
        focal, shift = np.linalg.lstsq(system, seen_at * depth * weights, rcond=None)[0]
        far = depth + shift
        weights = 1 / np.maximum(far, 1e-2 * max(float(np.median(far)), 1e-6))
    return float(focal), float(shift)


def _points(outputs: Outputs) -> tuple[Float[ndarray, "h w 3"], Bool[ndarray, "h w"]]:
    """Return MoGe's points of the first picture, and where they count."""
    points = one_of(outputs, "points")[0]
    mask = one_of(outputs, "mask")[0].reshape(points.shape[:2])
    return points, (mask > INSIDE) & np.isfinite(points).all(-1)


def one_of(outputs: Outputs, *words: str) -> ndarray:
    """Return the first output with one of the words in its name."""
    return next(x for name, x in outputs.items() if any(word in name.lower() for word in words))


class Signature(NamedTuple):
    """What networks of one origin have in common.

    Attributes:
      name: whose they are.
      kind: what their values are, unless a person says otherwise.
      mean: of the colours in [0, 1], subtracted.
      deviation: by which they are then divided.
      side: side of the pictures in pixels, where the file leaves it free.
      of_long_side: whether that is the long side, not the short one.
      multiple: of which free sides are multiples.
      frames: how many a network of several takes, where the file leaves that free.
      lens: focal length in pixels of the input that their metres assume; None for no assumption.
      outputs: words of which each, or one of those parted by |, is in the name of an output.
      input: name of the input; "" for any.
      axes: how many the input has; None for any.
      file: word in the name of the file or its folder, which is enough to recognize it.
      depth: returns the maps (n h w) of outputs.
      focal: returns the horizontal focal length of outputs over the width of the picture, from the
        input's width in pixels; None for networks that do not know it.
    """

    name: str
    kind: DepthKind
    mean: Triple
    deviation: Triple
    side: int
    of_long_side: bool = False
    multiple: int = PATCH
    frames: int = WINDOW
    lens: float | None = None
    outputs: tuple[str, ...] = ()
    input: str = ""
    axes: int | None = None
    file: str = ""
    depth: Callable[[Outputs], ndarray] = depth_output
    focal: Callable[[Outputs, int], float | None] | None = None


PLAIN = (0.0, 0.0, 0.0)
ONES = (1.0, 1.0, 1.0)
HALVES = (0.5, 0.5, 0.5)
LEVELS = (1 / 255, 1 / 255, 1 / 255)

MOGE = Signature(
    "MoGe-2",
    "metric",
    PLAIN,
    ONES,
    side=518,
    outputs=("points", "mask", "scale"),
    depth=depth_of_points,
    focal=focal_of_points,
)
UNIDEPTH = Signature(
    "UniDepth V2",
    "metric",
    MEAN,
    DEVIATION,
    side=518,
    outputs=("pts_3d", "intrinsics"),
    depth=depth_of_rays,
    focal=focal_of_intrinsics,
)
UNIDEPTH_EARLIER = UNIDEPTH._replace(
    outputs=("out_k", "depth"), depth=depth_output, focal=focal_of_camera
)
METRIC3D = Signature(
    "Metric3D", "metric", PLAIN, LEVELS, side=616, lens=1000.0, outputs=("depth", "normal")
)
DEPTH_PRO = Signature(
    "Depth Pro",
    "metric",
    HALVES,
    HALVES,
    side=1536,
    outputs=("depth", "foc"),
    focal=focal_of_pixels,
)
DEPTH_PRO_RAW = DEPTH_PRO._replace(
    outputs=("depth", "fov|field_of_view"), depth=inverse_of_canonical, focal=focal_of_view
)
DEPTH_ANYTHING_3 = Signature(
    "Depth Anything 3",
    "depth",
    MEAN,
    DEVIATION,
    side=504,
    of_long_side=True,
    frames=1,
    outputs=("depth", "conf|intrinsics|extrinsics|sky"),
    focal=focal_of_intrinsics,
)
DEPTH_ANYTHING_3_ALONE = DEPTH_ANYTHING_3._replace(outputs=("depth",), input="pixel_values", axes=5)
DEPTH_ANYTHING = Signature("Depth Anything", "disparity", MEAN, DEVIATION, side=518)
VIDEO_DEPTH_ANYTHING = DEPTH_ANYTHING._replace(name="Video Depth Anything", axes=5)
ZIPDEPTH = Signature("ZipDepth", "disparity", PLAIN, ONES, side=384, multiple=32, file="zipdepth")
SIGNATURES = (
    ZIPDEPTH,
    MOGE,
    UNIDEPTH,
    UNIDEPTH_EARLIER,
    METRIC3D,
    DEPTH_PRO,
    DEPTH_PRO_RAW,
    DEPTH_ANYTHING_3,
    DEPTH_ANYTHING_3_ALONE,
    VIDEO_DEPTH_ANYTHING,
    DEPTH_ANYTHING,
)


def signature_of(
    path: Path, inputs: tuple[str, ...], axes: int, outputs: tuple[str, ...]
) -> Signature:
    """Return the first signature that fits a file.

    Args:
      path: of the file.
      inputs: names of its inputs.
      axes: how many the first input has.
      outputs: names of its outputs.
    """
    return next(one for one in SIGNATURES if _fits(one, path, inputs, axes, outputs))


def _fits(
    one: Signature, path: Path, inputs: tuple[str, ...], axes: int, outputs: tuple[str, ...]
) -> bool:
    if one.file:
        return any(one.file in part.lower() for part in path.parts[-2:])
    names = [name.lower() for name in outputs]
    named = all(
        any(word in name for word in words.split("|") for name in names) for words in one.outputs
    )
    return named and one.input in ("", *inputs) and one.axes in (None, axes)


def with_metadata(one: Signature, metadata: Mapping[str, str], path: Path) -> Signature:
    """Return a signature with what a file's metadata say of its colours, sides and values.

    `mean` and `std` are three numbers each, of colours in [0, 1]; `multiple` is one; `kind` is a
    word of `--depth_kind`.

    Raises:
      InputError: one of them is something else.
    """
    changed = {}
    for key, field in (("mean", "mean"), ("std", "deviation")):
        if key in metadata:
            changed[field] = _triple(metadata[key], key, path)
    if "multiple" in metadata:
        if not metadata["multiple"].isdecimal() or int(metadata["multiple"]) < 1:
            raise _refused(path, "multiple", metadata["multiple"], "a whole number above 0")
        changed["multiple"] = int(metadata["multiple"])
    if "kind" in metadata:
        if metadata["kind"] not in get_args(DepthKind):
            raise _refused(path, "kind", metadata["kind"], " or ".join(get_args(DepthKind)))
        changed["kind"] = metadata["kind"]
    return one._replace(**changed)


def _triple(text: str, key: str, path: Path) -> Triple:
    """Return three numbers of a file's metadata; those to divide by are above 0."""
    expected = "three numbers" + ", each above 0" * (key == "std")
    try:
        red, green, blue = (float(x) for x in text.replace(",", " ").split())
    except ValueError:
        raise _refused(path, key, text, expected) from None
    if not np.isfinite([red, green, blue]).all() or (key == "std" and min(red, green, blue) <= 0):
        raise _refused(path, key, text, expected)
    return red, green, blue


def _refused(path: Path, key: str, found: str, expected: str) -> InputError:
    do = "write it again as docs/howto.md says"
    return InputError("depth network", f"{path}, metadata, {key}", found, expected, do)


def sides_of(one: Signature, height: int, width: int) -> tuple[int, int]:
    """Return rows and columns at which a network of free sides sees a picture of this size."""
    scale = one.side / (max if one.of_long_side else min)(height, width)
    multiple = one.multiple
    rows = max(1, round(height * scale / multiple)) * multiple
    columns = max(1, round(width * scale / multiple)) * multiple
    return rows, columns


def export_advice(inputs: tuple[str, ...], outputs: tuple[str, ...]) -> str:
    """Return what to do about a file that fits no signature."""
    names = {name.lower() for name in inputs}
    if names & {"k", "rays", "intrinsics", "camera"}:
        return "export UniDepth without a camera, from colours alone (docs/howto.md)"
    if depth_name(outputs) is None and any("feat" in x.lower() for x in (*inputs, *outputs)):
        return (
            "export encoder and head as one file, of Video Depth Anything from colours "
            "(1 32 3 h w) to depth (1 32 h w) (docs/howto.md)"
        )
    return "export it from colours (1 3 h w) to depth (1 h w), or see docs/howto.md"
