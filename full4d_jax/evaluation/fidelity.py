"""Scores of pictures whose truth is known: four measures on four regions.

    measures  PSNR, SSIM, LPIPS with AlexNet, LPIPS with VGG (`metrics`)
    regions   all pixels; those that the source does not see; those that move; those that it sees

A pixel moves where the truth differs from its median over the clip's instants by more than
`MOVED_SHARE` in the mean over the colours. Li et al. 2022 (DyNeRF, importance sampling by global
median maps) also take the median over time as what stands still; the threshold is ours. No pixel of
a view whose camera moves counts, since all of the picture changes there.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from full4d_jax.geometry.moving import moving_pixels
from full4d_jax.media import metrics

MOVED_SHARE = 0.05  # of the range from black to white

MEASURES = ("psnr", "ssim", "lpips", "lpips_vgg")
REGIONS = ("", "_unseen", "_moving", "_seen")
METRICS = tuple(measure + region for region in REGIONS for measure in MEASURES)
CHANGES = ("change_correlation", "change_size")
Distances = Mapping[str, metrics.Distance]  # by measure
Frames = Float[np.ndarray, "v t h w 3"]  # [0, 1]
Picture = UInt8[np.ndarray, "h w 3"]


class Regions(NamedTuple):
    """Pixels of the targets that count, 1 or 0; None for a region that is not scored."""

    unseen: Float[np.ndarray, "v t h w"] | None = None
    moving: Float[np.ndarray, "v t h w"] | None = None
    seen: Float[np.ndarray, "v t h w"] | None = None


class ClipRows(NamedTuple):
    """The truth of one clip, and what is scored against it.

    Attributes:
      scene: number of the clip in its group.
      truth: the frames that a row stands for.
      regions: pixels of these frames that are scored apart.
      rows: the frames of each row, by its name and the depth that it uses.
      details: further numbers of the clip, for its record.
      pictures: what people see of the clip, by what it is.
      first: the first instant of each frame's view, where the change from it is scored, too.
    """

    scene: int | str
    truth: Frames
    regions: Regions
    rows: Mapping[tuple[str, str], Frames]
    details: Mapping[str, float | None] = MappingProxyType({})
    pictures: Mapping[str, Picture] = MappingProxyType({})
    first: Frames | None = None


def score(clip: ClipRows, group: str, distances: Distances) -> dict[str, Any]:
    """Return the record of a clip, in the form that `table` reads."""
    unseen = clip.regions.unseen
    moving = clip.regions.moving
    rows = []
    for (row, depth), frames in clip.rows.items():
        scores = fidelity_scores(frames, clip.truth, clip.regions, distances)
        if clip.first is not None:
            scores |= change_scores(frames, clip.truth, clip.first)
        rows.append({"row": row, "depth": depth, **scores})
    return {
        "group": group,
        "scene": clip.scene,
        "hole_fraction": None if unseen is None else float(unseen.mean()),
        "moving_fraction": None if moving is None else float(moving.mean()),
        **clip.details,
        "rows": rows,
    }


def load_distances(*, vgg: bool) -> dict[str, metrics.Distance]:
    """Return the LPIPS distances that are installed, by measure.

    Raises:
      InputError: `vgg` is asked for, and LPIPS is not installed.
    """
    if vgg:
        metrics.require_lpips("LPIPS with VGG")
    nets = {
        "lpips": metrics.load_lpips(),
        "lpips_vgg": metrics.load_lpips("vgg16") if vgg else None,
    }
    return {name: distance for name, distance in nets.items() if distance is not None}


def moving_region(
    truth: Float[np.ndarray, "v t h w 3"], world_to_camera: Float[np.ndarray, "v t 4 4"]
) -> Float[np.ndarray, "v t h w"]:
    """Return 1 where the truth in [0, 1] differs from its median, else 0; 0 in views that move."""
    moving = moving_pixels(np.asarray(truth, np.float32), MOVED_SHARE, over_colours=np.mean)
    change = np.abs(np.asarray(world_to_camera) - world_to_camera[:, :1]).max((1, 2, 3))
    stands_still = change < 1e-4  # in all numbers of the pose
    return (moving & stands_still[:, None, None, None]).astype(np.float32)


def fidelity_scores(
    image: Float[np.ndarray, "v t h w 3"],
    truth: Float[np.ndarray, "v t h w 3"],
    regions: Regions,
    distances: Distances,
) -> dict[str, float | None]:
    """Return the METRICS of the given regions for images in [0, 1]; None for no value."""
    values = {name: float(value) for name, value in _pixels(image, truth, regions).items()}
    masks = _masks(regions)
    for region, mask in masks.items():
        for measure in ("lpips", "lpips_vgg"):
            known = distances.get(measure)
            value = math.nan if known is None else metrics.lpips(known, image, truth, mask)
            values[measure + region] = value
    names = [measure + region for region in masks for measure in MEASURES]
    return {name: values[name] if math.isfinite(values[name]) else None for name in names}


def change_scores(
    image: Float[np.ndarray, "*n h w 3"],
    truth: Float[np.ndarray, "*n h w 3"],
    first: Float[np.ndarray, "*n h w 3"],
) -> dict[str, float | None]:
    """Return how the change from a view's first instant is like the true one, by CHANGES.

    Correlation is the cosine of the two changes of all pixels, size the quotient of their root mean
    squares; None where one of them, or the true one, is 0.
    """
    change = (image - first).astype(np.float64)
    true_change = (truth - first).astype(np.float64)
    size = math.sqrt((change**2).sum())
    true_size = math.sqrt((true_change**2).sum())
    both = size * true_size
    return {
        "change_correlation": float((change * true_change).sum()) / both if both else None,
        "change_size": size / true_size if true_size else None,
    }


@jax.jit
def _pixels(image, truth, regions: Regions) -> dict[str, Float[Array, ""]]:
    scores = {}
    for region, mask in _masks(regions).items():
        scores["psnr" + region] = metrics.psnr(image, truth, mask)
        scores["ssim" + region] = metrics.ssim(image, truth, mask)
    return scores


def _masks(regions: Regions):
    scored = {f"_{name}": mask for name, mask in regions._asdict().items() if mask is not None}
    return {"": None} | scored
