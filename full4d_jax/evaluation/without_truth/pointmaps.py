"""Scores by a network of pointmaps of two pictures, such as DUSt3R: its confidence, and MEt3R.

The networks come as .onnx files:

    pointmaps  colours in [-1, 1] of two pictures, to outputs whose names begin with `pts3d` (1 h w
               3), points of either picture in the first one's camera, and with `conf` (1 h w), how
               sure they are, from 1; both in the order of the pictures
    features   colours normalised as for ImageNet, to features (1 c p q) in any size

    confidence  mean of `conf` over the pixels of both pictures
    MEt3R       1 - cosine of the features of both pictures, drawn as points into the first one's
                camera, mean over the pixels that both reach (Asim et al. 2025); 0 is the best

MEt3R is computed as the authors' program does: the focal length is the median over the mean of both
pointmaps, and the projection has the mean of that and the picture's side. Unlike there a pair
without a common pixel has no score, where the program has 0.
"""

from collections.abc import Callable
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from full4d_jax.evaluation.without_truth.image_features import SEE, Picture, planes
from full4d_jax.media.video import crop_resize
from full4d_jax.source.depth.onnx_network import OnnxFile, as_network, open_file

SIDE = 256  # pixels of MEt3R's pictures, where a file takes any size
RADIUS = 0.01  # of a drawn point, in halves of the picture's shorter side
LAYERS = 10  # points at most that a pixel has, the nearest ones
SURE = 0.999  # is subtracted from the confidence, to weight points
EPSILON = 1e-5
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
POINTMAPS = "a network from two pictures to two outputs pts3d (1 h w 3) and two conf (1 h w)"
FEATURES = "a network from a picture to features (1 c p q)"


class PairMaps(NamedTuple):
    """What a network says of two pictures.

    Attributes:
      pictures: as the network saw them.
      points: of both, x right, y down, z forward, in the first one's camera and any unit.
      confidence: of these points, from 1.
    """

    pictures: UInt8[np.ndarray, "2 h w 3"]
    points: Float[np.ndarray, "2 h w 3"]
    confidence: Float[np.ndarray, "2 h w"]


Pointmaps = Callable[[Picture, Picture], PairMaps]
DenseFeatures = Callable[[Picture], Float32[np.ndarray, "h w c"]]


def load_pointmaps(path: Path) -> Pointmaps:
    """Load a network of pointmaps, which sees the middle of two pictures.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    file = open_file("pointmaps", path, POINTMAPS, SEE)
    network = as_network(file, inputs=2)
    points_of = _two_outputs(file, "pts3d")
    confidence_of = _two_outputs(file, "conf")

    def see(first: Picture, second: Picture) -> PairMaps:
        sides = network.sides(SIDE, SIDE)
        pictures = np.stack([crop_resize(x, *sides) for x in (first, second)])
        outputs = network.run(*(planes(x / np.float32(127.5) - 1) for x in pictures))
        points = _stacked(file, outputs, points_of, (*sides, 3))
        return PairMaps(pictures, points, _stacked(file, outputs, confidence_of, sides))

    return see


def load_features(path: Path) -> DenseFeatures:
    """Load a network of features, which are enlarged to the size of the picture.

    Raises:
      InputError: no such file, a file of something else, or onnxruntime is missing.
    """
    file = open_file("features", path, FEATURES, SEE)
    network = as_network(file)

    def see(picture: Picture) -> Float32[np.ndarray, "h w c"]:
        height, width = picture.shape[:2]
        rows, columns = network.sides(height, width)
        colors = (picture / np.float32(255) - IMAGENET_MEAN) / IMAGENET_DEVIATION
        values = network.first(planes(cv2.resize(colors, (columns, rows))))
        if values.ndim != 4 or len(values) != 1 or not np.isfinite(values).all():
            raise file.refused(f"an output {values.shape}, or NaN in it")
        enlarged = [cv2.resize(plane, (width, height)) for plane in values[0].astype(np.float32)]
        return np.stack(enlarged, -1)

    return see


def pair_scores(
    frames: UInt8[np.ndarray, "v t h w 3"], pointmaps: Pointmaps, features: DenseFeatures | None
) -> dict[str, float]:
    """Return scores of neighbouring views of one instant, each pair in both orders; means.

    Args:
      frames: two views or more.
      pointmaps: see `load_pointmaps`.
      features: see `load_features`; without them there is no MEt3R.
    """
    confidences = []
    distances = []
    for t in range(frames.shape[1]):
        for near, far in pairwise(frames[:, t]):
            for maps in (pointmaps(near, far), pointmaps(far, near)):
                confidences.append(maps.confidence.mean())
                if features:
                    distances.append(met3r(maps, np.stack([features(x) for x in maps.pictures])))
    scores = {"confidence": float(np.mean(confidences))}
    known = [x for x in distances if not np.isnan(x)]
    return scores | ({"met3r": float(np.mean(known))} if known else {})


def met3r(maps: PairMaps, features: Float[np.ndarray, "2 h w c"]) -> float:
    """Return MEt3R of two pictures, from 0, the best, to 2; NaN if no pixel is in both."""
    height, width = maps.confidence.shape[1:]
    focal = _focal(maps)
    drawn = []
    reached = np.ones((height, width), bool)
    for points, values in zip(maps.points, features, strict=True):
        flat = values.reshape(height * width, -1)
        picture, hit = draw_points(points.reshape(-1, 3), flat, focal, (height, width))
        drawn.append(picture)
        reached &= hit
    if not reached.any():
        return float("nan")
    first, second = (picture[reached] for picture in drawn)
    norms = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return float((1 - (first * second).sum(-1) / (norms + EPSILON)).mean())


def draw_points(
    points: Float[np.ndarray, "n 3"],
    values: Float[np.ndarray, "n c"],
    focal: Float[np.ndarray, "2"],
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "h w c"], Bool[np.ndarray, "h w"]]:
    """Draw points as discs that fade from their middle, the nearest `LAYERS` of a pixel.

    Args:
      points: in the camera.
      values: of each point.
      focal: in pixels, of columns and rows; the principal point is the middle.
      size: rows and columns of the picture.

    Returns:
      The picture, and which of its pixels a point reaches.
    """
    height, width = size
    x, y, z = points.T.astype(np.float64)
    depth = np.where(z > 0, z, np.nan)  # which no comparison below lets through
    column = width / 2 + focal[0] * x / depth
    row = height / 2 + focal[1] * y / depth
    radius = RADIUS * min(size) / 2
    reach = ceil(radius + 0.5) - 1  # pixels from that of the point
    pixels = []
    discs = []
    alphas = []
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            j = np.floor(column) + right
            i = np.floor(row) + down
            distance2 = ((j + 0.5 - column) ** 2 + (i + 0.5 - row) ** 2) / radius**2
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            disc = np.flatnonzero(inside & (distance2 < 1))
            pixels.append((i[disc] * width + j[disc]).astype(np.int64))
            discs.append(disc)
            alphas.append(1 - distance2[disc])
    # By pixel, the nearest point first.
    pixel = np.concatenate(pixels)
    disc = np.concatenate(discs)
    order = np.lexsort((z[disc], pixel))
    pixel = pixel[order]
    disc = disc[order]
    alpha = np.concatenate(alphas)[order]
    layer = np.arange(len(pixel)) - np.searchsorted(pixel, pixel)

    picture = np.zeros((height * width, values.shape[-1]), np.float32)
    passing = np.ones(height * width, np.float32)
    for k in range(LAYERS):
        at = pixel[layer == k]
        light = passing[at] * alpha[layer == k]
        picture[at] += light[:, None] * values[disc[layer == k]]
        passing[at] -= light
    hit = np.zeros(height * width, bool)
    hit[pixel] = True
    return picture.reshape(height, width, -1), hit.reshape(size)


def _focal(maps: PairMaps) -> Float[np.ndarray, "2"]:
    """Return the focal length of MEt3R's projection, pixels, of columns and rows."""
    height, width = maps.confidence.shape[1:]
    weight = (maps.confidence - SURE)[..., None]
    mean = (weight * maps.points).sum(0) / weight.sum(0)
    rows, columns = np.mgrid[:height, :width]
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.nanmedian((columns - width / 2) * mean[..., 2] / mean[..., 0])
        down = np.nanmedian((rows - height / 2) * mean[..., 2] / mean[..., 1])
    half = min(height, width) / 2
    return np.array([half * (1 + across / width), half * (1 + down / height)])


def _two_outputs(file: OnnxFile, beginning: str) -> list[str]:
    """Return the names of the two outputs that begin so.

    Raises:
      InputError: there are more or fewer.
    """
    names = [name for name in file.outputs if name.startswith(beginning)]
    if len(names) != 2:
        raise file.refused(file.described)
    return names


def _stacked(
    file: OnnxFile, outputs: dict[str, np.ndarray], names: list[str], shape: tuple[int, ...]
) -> Float[np.ndarray, "2 ..."]:
    """Return two outputs of this shape, behind an axis of one.

    Raises:
      InputError: they have another shape, or are not finite.
    """
    for name in names:
        values = outputs[name]
        if values.shape != (1, *shape) or not np.isfinite(values).all():
            raise file.refused(f"an output {name} {values.shape}, or NaN in it")
    return np.concatenate([outputs[name] for name in names])
