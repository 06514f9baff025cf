"""What was seen stays known: still pixels that something passes before at other instants.

While a camera stands still, a pixel's median colour over the clip is that of what stands still
there. At the instants at which something hides it, or at which its depth is unknown, the pixel has
a second, hidden point: that colour, at the median of the depths that it had while it was seen.
Projected behind the points of the current frame, hidden points close holes that a person leaves.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.generation.projection_guidance import splat

STILL = 0.16  # a pixel this close to its median colour in [-1, 1] shows what stands still there
BEHIND = 1.05  # a hidden point is this much farther than what hides it, at least
SAME_PLACE = 1e-6  # change of a pose below which a camera stands still
CLOSED = 3  # pixels: narrower gaps between the points of a frame are cracks of a surface, not holes
Splat = tuple[Float[Array, "h w 3"], Float[Array, "h w"], Float[Array, "h w"]]


class Hidden(NamedTuple):
    """A second point of the source's pixels.

    Attributes:
      frame: colours, [-1, 1].
      depth: world units; 0 where nothing is hidden at that instant.
    """

    frame: Float[Array, "h w 3"]
    depth: Float[Array, "t h w"]


def seen_before(
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    world_to_camera: Float[Array, "t 4 4"],
) -> Hidden:
    """Return the hidden points of a clip; none where its camera moves.

    Args:
      frames: the clip, [-1, 1].
      depth: its z-depth in world units, 0 where unknown.
      world_to_camera: its camera.
    """
    usual = jnp.median(frames, 0)
    is_still = jnp.abs(frames - usual[None]).max(-1) < STILL
    seen = is_still & (depth > 0)
    usual_depth = jnp.nanmedian(jnp.where(seen, depth, jnp.nan), 0)
    stands = (2 * is_still.sum(0) >= len(frames)) & seen.any(0)
    is_behind = (depth == 0) | (~is_still & (usual_depth[None] > BEHIND * depth))
    stays = jnp.abs(world_to_camera - world_to_camera[:1]).max() < SAME_PLACE
    return Hidden(usual, jnp.where(stays & stands[None] & is_behind, usual_depth[None], 0.0))


def splat_both(
    frame: Float[Array, "h w 3"],
    depth: Float[Array, "h w"],
    hidden: tuple[Float[Array, "h w 3"], Float[Array, "h w"]],
    intrinsics_source: Float[Array, "3 3"],
    source_to_target: Float[Array, "4 4"],
    intrinsics: Float[Array, "3 3"],
) -> Splat:
    """Draw a frame and, in its holes, what it hides; see `projection_guidance.splat`.

    Args:
      frame: of the source.
      depth: its z-depth, 0 where unknown.
      hidden: colours and depth of the hidden points at that instant.
      intrinsics_source: of the source, pixels.
      source_to_target: motion from the source camera to the target camera.
      intrinsics: of the target, pixels.
    """
    place = intrinsics_source, source_to_target, intrinsics
    colour, mask, disparity = splat(frame, depth, *place)
    behind, found, farther = splat(*hidden, *place)
    is_open = (1 - _closed(mask)) * found
    return (
        colour + is_open[..., None] * behind,
        mask + is_open,
        disparity + is_open * farther,
    )


def _closed(mask: Float[Array, "h w"]) -> Float[Array, "h w"]:
    """Return the mask with its gaps closed that are narrower than `CLOSED` pixels."""
    window = (CLOSED, CLOSED)
    grown = jax.lax.reduce_window(mask, 0.0, jax.lax.max, window, (1, 1), "SAME")
    return jax.lax.reduce_window(grown, 1.0, jax.lax.min, window, (1, 1), "SAME")
