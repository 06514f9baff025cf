"""Projection guidance from several real cameras of a rig.

Each real view is projected into each target. The view whose camera is nearest to the target decides
a pixel; where it has no point, the next one does. A real view is its own projection: the prior sees
it beside the source, and what it makes of it is not used.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import Projection, project


class RealViews(NamedTuple):
    """Real views beside the source: views 1 to k of the grid.

    Attributes:
      frames: their pictures, [-1, 1].
      depth: their z-depth in world units, 0 where unknown.
    """

    frames: Float[Array, "k t h w 3"]
    depth: Float[Array, "k t h w"]


def project_several(
    frames: Float[Array, "t h w 3"],
    depth: Float[Array, "t h w"],
    beside: RealViews,
    cameras: Cameras,
) -> Projection:
    """Project the source and the real views beside it into views 1 and following.

    Args:
      frames: source video, [-1, 1].
      depth: its z-depth in world units, 0 where unknown.
      beside: the real views 1 to k.
      cameras: of all views, the source first, the real views beside it next.
    """
    pictures = jnp.concatenate([frames[None], beside.frames])
    maps = jnp.concatenate([depth[None], beside.depth])
    layers = [project(pictures[i], maps[i], cameras, i) for i in range(len(maps))]
    order = nearest_first(jnp.asarray(cameras.world_to_camera), len(maps))
    merged = merge(jax.tree.map(lambda *x: jnp.stack(x), *layers), order)
    own = own_projection(beside)
    return jax.tree.map(lambda x, y: y.at[: len(x)].set(x), own, merged)


def own_projection(beside: RealViews) -> Projection:
    """Return the real views as projections into their own cameras."""
    inverse = jnp.where(beside.depth > 0, 1 / jnp.maximum(beside.depth, 0.05), 0.0)
    return Projection(beside.frames, jnp.ones_like(beside.depth), inverse)


def nearest_first(poses: Float[Array, "n t 4 4"], real: int) -> Int[Array, "{real} n-1 t"]:
    """Return for views 1 and following the numbers of the real views, the nearest first."""
    return jnp.argsort(_distances(poses, real), 0)


def merge(layers: Projection, order: Int[Array, "k *n"]) -> Projection:
    """Merge projections of `k` real views into the same targets.

    Args:
      layers: the projections, with a leading axis of real views, then those of `order`.
      order: numbers of the real views, for each target frame those first that count first.
    """
    picked = _pick(layers, order[0])
    for number in order[1:]:
        other = _pick(layers, number)
        is_open = (1 - picked.mask) * other.mask
        picked = Projection(
            picked.frames + is_open[..., None] * other.frames,
            picked.mask + is_open,
            picked.disparity + is_open * other.disparity,
        )
    return picked


def _pick(layers: Projection, number: Int[Array, "*n"]) -> Projection:
    """Return of each target frame the layer with its number."""
    places = jnp.indices(number.shape)
    return jax.tree.map(lambda x: x[(number, *places)], layers)


def _distances(poses: Float[Array, "n t 4 4"], real: int) -> Float[Array, "{real} n-1 t"]:
    """Return how far the cameras of the first views stand from those of views 1 and following."""
    centers = -jnp.einsum("vtji,vtj->vti", poses[..., :3, :3], poses[..., :3, 3])
    return jnp.linalg.norm(centers[:real, None] - centers[None, 1:], axis=-1)
