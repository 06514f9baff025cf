"""Projection guidance from several real cameras of a rig.

Each real view is projected into each target. The view whose camera is nearest to the target decides
a pixel; where it has no point, the next one does. A real view is its own projection: the prior also
receives the other real views, and its output for them is discarded.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import Projection, project_video
from gaussians.precision import exact_products


def project_several(
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    cameras: Cameras,
) -> Projection:
    """Project the real views into views 1 and following.

    Args:
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
    """
    real = len(frames)
    layers = [project_video(frames[i], depth[i], cameras, i) for i in range(real)]
    if real == 1:
        return layers[0]
    order = nearest_first(jnp.asarray(cameras.world_to_camera), real)
    merged = merge(jax.tree.map(lambda *x: jnp.stack(x), *layers), order)
    own = own_projection(frames[1:], depth[1:])
    return jax.tree.map(lambda x, y: y.at[: len(x)].set(x), own, merged)


def own_projection(frames: Float[Array, "n t h w 3"], depth: Float[Array, "n t h w"]) -> Projection:
    """Return real views as projections into their own cameras; see `project_several`."""
    inverse = jnp.where(depth > 0, 1 / jnp.maximum(depth, 0.05), 0.0)
    return Projection(frames, jnp.ones_like(depth), inverse)


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
        picked = picked.filled(_pick(layers, number), 1 - picked.mask)
    return picked


def _pick(layers: Projection, number: Int[Array, "*n"]) -> Projection:
    """Return of each target frame the layer with its number."""
    places = jnp.indices(number.shape)
    return jax.tree.map(lambda x: x[(number, *places)], layers)


@exact_products
def _distances(poses: Float[Array, "n t 4 4"], real: int) -> Float[Array, "{real} n-1 t"]:
    """Return how far the cameras of the first views stand from those of views 1 and following."""
    centers = -jnp.einsum("vtji,vtj->vti", poses[..., :3, :3], poses[..., :3, 3])
    return jnp.linalg.norm(centers[:real, None] - centers[None, 1:], axis=-1)
