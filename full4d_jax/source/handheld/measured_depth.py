"""The depth of a source that has a camera, in one unit with its path: what every verb works with.

Depth is known with the source, or a network estimates it. An estimate smears edges, which count as
unknown: the prior was trained so. Of a camera that moves, what stands still is seen from several
places, and its estimates are fused.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.models.depth_net import EDGE, drop_depth_edges
from full4d_jax.source.depth.clip_depth import AnyNetwork, clip_depth
from full4d_jax.source.depth.depth_file import DepthFile
from full4d_jax.source.depth.estimate import estimate_depth
from full4d_jax.source.handheld.fused_depth import fuse_depth
from full4d_jax.source.handheld.path_scale import in_unit, settle_scale, source_moves
from full4d_jax.source.source import Source


class MeasuredDepth(NamedTuple):
    """Depth of a source.

    Attributes:
      depth: z-depth in world units, 0 where unknown.
      path_unit: what a world unit is in units of the source's path (`in_unit`).
      metres: what a world unit is in metres; None where the network tells none.
    """

    depth: Float[ndarray, "t h w"]
    path_unit: float
    metres: float | None


def measure_depth(source: Source, network: AnyNetwork) -> MeasuredDepth:
    """Return the depth that is known with a source, or else what a network estimates."""
    cameras, metres = source.cameras, None
    assert cameras is not None, "depth belongs to a camera"
    frames = jnp.asarray(source.frames[0], jnp.float32) / 127.5 - 1
    still = not source_moves(source)
    if source.depth is not None:
        known = source.depth[0]
    elif isinstance(network, DepthFile):
        own = clip_depth(network, frames, float(cameras.intrinsics[0, 0, 0]), still=still)
        middle = float(np.median(own[0]))
        known, metres = own / middle, middle if network.kind == "metric" else None
    else:
        known = np.asarray(estimate_depth(network, frames, still=still))
    estimated = source.depth is None
    settled, unit = settle_scale(source, known, estimated=estimated)
    depth = drop_depth_edges(jnp.asarray(settled), EDGE)
    if estimated and not still and (placed := in_unit(source, unit).cameras) is not None:
        depth = fuse_depth(
            frames, depth, jnp.asarray(placed.intrinsics[0]), jnp.asarray(placed.world_to_camera[0])
        )
    return MeasuredDepth(np.asarray(depth), unit, metres)
