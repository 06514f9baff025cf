"""One unit for the depth of a source and the path of its camera.

Depth that is estimated frame by frame has a scale of its own in each, and a path has another. With
points of known depth in the path's unit, a frame's depth is multiplied by the median of their
ratios; a camera that turns on its place has the depths of its frames compared where they show the
same. Then both are divided by the median depth of the first frame, the unit of the world.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from full4d_jax.source.handheld.rotation import steadied
from full4d_jax.source.handheld.source_path import moves, travels
from full4d_jax.source.source import Source
from input_pipeline.cameras import rescale
from input_pipeline.depth_alignment import ENOUGH, SparseDepth


def source_moves(source: Source) -> bool:
    """Return whether the camera of a source moves, as far as that is known."""
    return source.cameras is not None and moves(np.asarray(source.cameras.world_to_camera[0]))


def settle_scale(
    source: Source, depth: Float[ndarray, "t h w"], *, estimated: bool
) -> tuple[Float[ndarray, "t h w"], float]:
    """Return depth in world units, and what one of them is in units of the source's path.

    Args:
      source: one view with its camera.
      depth: of the source in any unit, 0 where unknown.
      estimated: whether every frame's depth has a scale of its own.
    """
    assert source.cameras is not None, "a path belongs to a camera"
    poses = np.asarray(source.cameras.world_to_camera[0])
    if source.points is not None:
        scale = _scale_to_points(depth, source.points, estimated=estimated)
    elif estimated and moves(poses) and not travels(poses):
        scale = _scale_to_first(depth, poses[:, :3, :3], np.asarray(source.cameras.intrinsics[0]))
    else:
        return depth, 1.0
    scaled = depth * scale[:, None, None].astype(depth.dtype)
    unit = float(np.median(scaled[0][scaled[0] > 0]))
    return scaled / unit, unit if source.points is not None else 1.0


def in_unit(source: Source, unit: float) -> Source:
    """Return a source whose path is in units of `unit` of its own."""
    assert source.cameras is not None, "a path belongs to a camera"
    poses = rescale(np.asarray(source.cameras.world_to_camera), unit)
    cameras = replace(source.cameras, world_to_camera=poses.astype(np.float32))
    return replace(source, cameras=cameras, points=None)


def seen_from_first(
    source: Source, depth: Float[ndarray, "t h w"]
) -> tuple[UInt8[ndarray, "t h w 3"], Float[ndarray, "t h w"]]:
    """Return frames and depth in which what stands still keeps its pixel, 0 where it is not seen.

    Of a camera that travels only the first is such a frame, and stands for all.
    """
    assert source.cameras is not None, "a path belongs to a camera"
    frames, poses = source.frames[0], np.asarray(source.cameras.world_to_camera[0])
    if not moves(poses):
        return frames, depth
    if travels(poses):
        return frames[:1].repeat(len(frames), 0), depth[:1].repeat(len(depth), 0)
    how = poses[:, :3, :3], np.asarray(source.cameras.intrinsics[0], np.float64)
    turned = steadied(depth.astype(np.float32), *how)
    seen = turned > 0
    return np.where(seen[..., None], steadied(frames, *how), frames[:1]), turned


def _scale_to_points(
    depth: Float[ndarray, "t h w"], points: SparseDepth, *, estimated: bool
) -> Float[ndarray, " t"]:
    """Return the factors that bring depth to that of the points: by frame, where it has enough."""
    h, w = depth.shape[1:]
    column, row = np.floor(points.pixels).astype(int).T
    there = depth[points.instants, row.clip(0, h - 1), column.clip(0, w - 1)]
    known = (there > 0) & (points.depth > 0)
    if not known.any():
        return np.ones(len(depth))
    ratios, instants = points.depth[known] / there[known], points.instants[known]
    scale = np.full(len(depth), np.median(ratios))
    for instant in range(len(depth) if estimated else 0):
        own = ratios[instants == instant]
        if len(own) >= ENOUGH:
            scale[instant] = np.median(own)
    return scale


def _scale_to_first(
    depth: Float[ndarray, "t h w"], rotations: Float[ndarray, "t 3 3"], lens: Float[ndarray, "3 3"]
) -> Float[ndarray, " t"]:
    """Return the factors that make depths alike where they are seen in the first frame."""
    turned = steadied(depth.astype(np.float32), rotations, lens)
    both = (turned > 0) & (turned[:1] > 0)
    return np.array(
        [
            np.median(turned[0][same] / there[same]) if same.any() else 1.0
            for there, same in zip(turned, both, strict=True)
        ]
    )
