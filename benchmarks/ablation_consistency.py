"""How well generated views agree with each other where they show the same surface points.

The papers match points between generated views by a network, count the matches and measure their
Sampson error. Pictures of 32 pixels are too small for that, and ours need no matching: the true
depth says which pixels of two views show one point. For each ordered pair of generated views of an
instant, the second is moved into the first by true depth and cameras. A pixel counts where the true
pictures, moved alike, agree. Of these there are

    apart    the difference of the two generated pictures, as PSNR in dB: more is nearer
    matched  the share of points, in percent, that are found again: of all places up to REACH pixels
             from the true one, one at most NEAR pixels from it has the 3x3 pixels around it most
             alike. Only points that the true pictures find again count. By chance it is 18 %.

Neither sees quality. Blurred views are near each other, while noise lowers both; `matched` wants
texture that the views share, so that a grey grid has none.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Bool, Float

from full4d_jax.cameras import Cameras

AGREES, DEPTH_AGREES = 0.1, 0.03  # of the range of colours; of the depth
REACH, NEAR = 3, 1  # pixels
OUTSIDE = -1e3  # a place in no picture, and a colour in none
LEAST = 1e-6  # squared difference, 60 dB
Picture = Float[Array, "h w 3"]


def consistency(
    made: Float[Array, "v t h w 3"],
    truth: Float[Array, "v t h w 3"],
    depth: Float[Array, "v t h w"],
    cameras: Cameras,
    counted: Bool[Array, "v t h w"],
) -> Float[Array, "2"]:
    """Return `apart` and `matched` of all pairs of generated views; NaN where no pixel counts.

    Args:
      made: frames in [-1, 1], of which view 0 is given.
      truth: the true ones.
      depth: true z-depth of all views.
      cameras: of all views.
      counted: pixels that may count, in both views of a pair.
    """
    views, times = depth.shape[:2]
    pairs = itertools.permutations(range(1, views), 2)
    places = np.array([(*pair, t) for pair in pairs for t in range(times)], np.int32)
    made = jnp.clip(made, -1, 1)

    def one(place: Array) -> Array:
        a, b, t = place
        lenses, poses = jnp.asarray(cameras.intrinsics), jnp.asarray(cameras.world_to_camera)
        relative = poses[b, t] @ jnp.linalg.inv(poses[a, t])
        spots, far = moved(depth[a, t], lenses[a], relative, lenses[b])
        there = sampled(depth[b, t][..., None], spots, 0)[..., 0]
        open_there = sampled(counted[b, t][..., None].astype(jnp.float32), spots, 0)[..., 0] > 0
        true = truth[a, t], truth[b, t]
        same = jnp.abs(sampled(true[1], spots) - true[0]).max(-1) < 2 * AGREES
        seen = counted[a, t] & open_there & same & (jnp.abs(far - there) < DEPTH_AGREES * there)
        error = jnp.square((sampled(made[b, t], spots) - made[a, t]) / 2).mean(-1)
        findable = seen & found_again(*true, spots)
        found = findable & found_again(made[a, t], made[b, t], spots)
        return jnp.stack([x.sum() for x in (error * seen, seen, found, findable)])

    error, seen, found, findable = (
        jax.lax.map(one, jnp.asarray(places.reshape(-1, 3))).astype(jnp.float32).sum(0)
    )
    return jnp.stack([-10 * jnp.log10(jnp.maximum(error / seen, LEAST)), 100 * found / findable])


def moved(
    depth: Float[Array, "h w"],
    lens: Float[Array, "3 3"],
    relative: Float[Array, "4 4"],
    other: Float[Array, "3 3"],
) -> tuple[Float[Array, "2 h w"], Float[Array, "h w"]]:
    """Return where the pixels lie in another picture (row, column), and their depth there."""
    y, x = jnp.meshgrid(*(jnp.arange(n) + 0.5 for n in depth.shape), indexing="ij")
    points = jnp.stack([x, y, jnp.ones_like(x)], -1) @ jnp.linalg.inv(lens).T * depth[..., None]
    points = points @ relative[:3, :3].T + relative[None, None, :3, 3]
    u, v, z = jnp.moveaxis(points @ other.T, -1, 0)
    ahead = (z > 1e-3)[None]
    return jnp.where(ahead, jnp.stack([v, u]) / jnp.where(ahead, z[None], 1) - 0.5, OUTSIDE), z


def sampled(
    picture: Float[Array, "h w c"], spots: Float[Array, "2 h w"], order: int = 1
) -> Float[Array, "h w c"]:
    """Return the picture at these places (row, column), OUTSIDE beyond it."""

    def one(channel: Float[Array, "h w"]) -> Float[Array, "h w"]:
        return map_coordinates(channel, list(spots), order=order, cval=OUTSIDE)

    return jax.vmap(one, -1, -1)(picture)


def found_again(
    first: Picture, second: Picture, spots: Float[Array, "2 h w"]
) -> Bool[Array, "h w"]:
    """Say for each pixel of the first whether what is most like it in the second lies near."""
    shifts = [(i, j) for i in range(-REACH, REACH + 1) for j in range(-REACH, REACH + 1)]
    height, width = first.shape[:2]
    wide = jnp.pad(second, ((REACH, REACH), (REACH, REACH), (0, 0)), constant_values=OUTSIDE)
    moves = [wide[REACH + i :, REACH + j :][:height, :width] for i, j in shifts]
    there = jnp.split(sampled(jnp.concatenate(moves, -1), spots), len(shifts), -1)
    squares = jnp.stack([jnp.square(x - first).mean(-1) for x in there], -1)
    padded = jnp.pad(squares, ((1, 1), (1, 1), (0, 0)), mode="edge")
    costs = jax.lax.reduce_window(padded, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "VALID")
    near = np.array([max(abs(i), abs(j)) <= NEAR for i, j in shifts])
    return costs[..., near].min(-1) < costs[..., ~near].min(-1)
