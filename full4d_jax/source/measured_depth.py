"""The depth of a source that has a camera, in one unit with its path: what every verb works with.

Depth is known with the source, or a network estimates it. Estimates are made to agree with facts
(`depth.facts`). They smear edges, which count as unknown: the prior was trained so. Of a camera
that moves, what stands still is seen from several places: where a plane sweep is sure of it, that
corrects the estimates, and then they are fused.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from numpy import ndarray

from full4d_jax.geometry.depth_maps import EDGE_BEND, drop_depth_edges, fuse_depth
from full4d_jax.geometry.stereo_depth import stereo_depth
from full4d_jax.grid import CleanPlate, Grid, alone, depth_in, points_in
from full4d_jax.media.pictures import to_model
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import estimate_depth
from full4d_jax.source.depth.estimators import AnyNetwork, as_far, clip_depth, source_depth
from full4d_jax.source.depth.facts import hold_facts
from full4d_jax.source.handheld.path_scale import in_unit, settle_scale, source_moves
from full4d_jax.source.subjects import SubjectNetworks
from input_pipeline.cameras import rescale


class MeasuredDepth(NamedTuple):
    """Depth of a source.

    Attributes:
      depth: z-depth in world units, 0 where unknown.
      path_unit: what a world unit is in units of the source's path (`in_unit`).
      metres: what a world unit is in metres; None where the network gives none.
      swept: share of the pixels of which a plane sweep is sure; 0 where none was believed.
      plate: what is behind the source's subjects; None where it is unknown.
    """

    depth: Float[ndarray, "t h w"]
    path_unit: float
    metres: float | None
    swept: float = 0.0
    plate: CleanPlate | None = None


def measure_depth(
    source: Grid, network: AnyNetwork, subject_networks: SubjectNetworks | None = None
) -> MeasuredDepth:
    """Return the depth that is known with a source, or else what a network estimates.

    Args:
      source: of one camera.
      network: estimates depth that is not known.
      subject_networks: they find what stands and moves, so that estimates
        agree with facts about it; None leaves estimates as they are.
    """
    cameras = source.cameras
    assert cameras is not None, "depth belongs to a camera"
    pictures = source.frames[0]
    metres = None
    plate = None
    unknown = np.zeros(pictures.shape[:3], bool)  # to the network, such as the sky
    frames = to_model(pictures)
    still = not source_moves(source)
    # Depth of the first look: recorded, from a file, or of the network.
    given_depth = depth_in(source)
    if given_depth is not None:
        known = given_depth
    elif isinstance(network, DepthFile):
        own = clip_depth(network, frames, still=still)
        unknown = own == 0
        middle = float(np.median(own[0][own[0] > 0]))
        known = as_far(own) / middle
        metres = middle if network.kind == "metric" else None
    else:
        known = np.asarray(estimate_depth(network, frames, still=still))
    estimated = given_depth is None
    settled, unit = settle_scale(source, known, estimated=estimated)
    estimate = partial(depth_of_picture, network)
    # Of a camera at rest, facts about the picture correct an estimate.
    if not estimated or still:
        if estimated and subject_networks is not None:
            lens = np.asarray(cameras.intrinsics[0])
            path = np.asarray(cameras.world_to_camera[0])
            depth = np.asarray(settled)
            settled, plate = hold_facts(
                depth, pictures, lens, path, subject_networks, source.around, estimate
            )
        shown = np.asarray(_without_edges(settled))
        return MeasuredDepth(np.where(unknown, 0, shown), unit, metres, plate=plate)
    # Of a camera that moves, a plane sweep corrects it, in the unit of the path.
    placed = in_unit(source, unit).cameras
    assert placed is not None, "it has cameras"
    lens = np.asarray(placed.intrinsics[0])
    path = np.asarray(placed.world_to_camera[0])
    swept = 0.0
    if points_in(source) is not None:  # else depth and path have no common unit
        where = lens.astype(np.float64), path.astype(np.float64)
        settled, swept = stereo_depth(pictures, settled, *where)
        again = float(np.median(settled[0][settled[0] > 0]))  # the world's unit is the first median
        settled = settled / again
        unit = unit * again
        path = rescale(path, again).astype(np.float32)
        metres = None if metres is None else metres * again
    depth = np.asarray(
        fuse_depth(frames, _without_edges(settled), jnp.asarray(lens), jnp.asarray(path))
    )
    if subject_networks is not None:
        depth, plate = hold_facts(depth, pictures, lens, path, subject_networks, None, estimate)
        depth = np.asarray(_without_edges(depth))
    return MeasuredDepth(np.where(unknown, 0, depth), unit, metres, swept, plate)


def depth_of_picture(
    network: AnyNetwork, picture: UInt8[ndarray, "h w 3"]
) -> Float[ndarray, "h w"]:
    """Return the depth of a picture, of any scale; what is unknown is far away."""
    return as_far(np.asarray(source_depth(network, to_model(picture[None]))))[0]


def describe_sweep(swept: float) -> str:
    """Return a line for the user about the share of the pixels that a plane sweep found."""
    return (
        f"depth: the camera's path tells that of {swept:.0%} of the pixels (plane sweep), by which "
        "the network's is corrected"
    )


def _without_edges(depth: Float[ndarray, "t h w"]) -> Float[Array, "t h w"]:
    return drop_depth_edges(jnp.asarray(depth), EDGE_BEND)


def measure_real_rows(
    grid: Grid,
    path_unit: float,
    network: AnyNetwork,
    subject_networks: SubjectNetworks | None = None,
) -> Float[ndarray, "k t h w"]:
    """Return the depth of the real rows of a rig but the first, in the world's unit.

    Args:
      grid: real views of a data set, then missing ones.
      path_unit: of the source, as `measure_depth` returns it.
      network: estimates depth that is not known.
      subject_networks: see `measure_depth`.
    """
    assert grid.about.distances is not None, "a rig knows how far the scene is"
    depths = []
    for view in range(1, grid.real_rows):
        depth, unit, *_ = measure_depth(alone(grid, view), network, subject_networks)
        depths.append(depth * (unit * float(grid.about.distances[view]) / path_unit))
    return np.stack(depths).astype(np.float32)
