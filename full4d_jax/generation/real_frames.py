"""A grid of which some frames are real: 4Real-Video's task, without projection or poses.

Any subset may be real: a fixed-view video is the first row (view 0), a freeze-time video the
first column (t = 0), and both together are what the paper starts from.
"""

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from full4d_jax.cameras import Cameras
from full4d_jax.flow import Latents
from full4d_jax.models.dit.conditions import Conditions

Grid = Float[Array, "v t h w c"]
Real = Bool[Array, "v t"]
Reals = Bool[Array, "b v t"]
# Shares of training clips that show both videos, the row, the column, scattered frames.
SHARES = np.array([0.7, 0.05, 0.05, 0.2], np.float32)


def row_and_column(views: int, frames: int) -> Bool[np.ndarray, "v t"]:
    """Mark the first row and the first column of a grid, or the first frame of a single video."""
    view, time = np.indices((views, frames))
    if min(views, frames) == 1:
        return (view == 0) & (time == 0)
    return (view == 0) | (time == 0)


def draw_real(key: PRNGKeyArray, views: int, frames: int) -> Real:
    """Draw a subset for training: never empty, never the whole grid of more than one frame."""
    kind_key, share_key, frame_key, first_key = jax.random.split(key, 4)
    both = row_and_column(views, frames)
    view, time = np.indices(both.shape)
    # The first row of a single row is all of it, and so for columns.
    row = view == 0 if views > 1 else both
    column = time == 0 if frames > 1 else both
    drawn = jax.random.uniform(frame_key, both.shape)
    share = jax.random.uniform(share_key, minval=0.05, maxval=0.6)
    order = jnp.argsort(drawn.reshape(-1))
    scattered = (drawn < share).reshape(-1)
    scattered = scattered.at[order[0]].set(True).at[order[-1]].set(False)
    kinds = jnp.stack([both, row, column, scattered.reshape(both.shape)])
    return kinds[jax.random.choice(kind_key, len(SHARES), p=SHARES)]


def nearest_real(real: Real) -> Int[Array, "v t"]:
    """Return the real frame that shows most of each frame, as v * frames + t.

    It is the nearest in time in the same view, where only moving things are wrong; without one, the
    frame of another view that is fewest steps over views and times away.
    """
    views, frames = real.shape
    view, time = (x.reshape(-1) for x in np.indices((views, frames)))
    steps = np.abs(view[:, None] - view) + np.abs(time[:, None] - time)
    steps = steps + views * frames * (view[:, None] != view)
    to_real = jnp.where(real.reshape(1, -1), steps, np.inf)
    return to_real.argmin(-1).reshape(views, frames)


def copy_nearest(grid: Grid, real: Real) -> Grid:
    """Replace every frame by the nearest real one."""
    return rearrange(grid, "v t h w c -> (v t) h w c")[nearest_real(real)]


def conditions_of_real(
    latents: Latents,
    real: Reals,
    cameras: Cameras,
    motion: Float[Array, "b v t h w 5"] | None = None,
) -> Conditions:
    """Return the conditions of grids of which some frames are real; hidden ones are not read.

    Args:
      latents: all frames.
      real: which frames are, at least one frame of each grid.
      cameras: a batch of them, at the latents' frame rate; read by models with cameras only.
      motion: what the first row carries over (`geometry.image_motion`), wherever row and column
        are real; the conditions then have the row, too.
    """
    none = latents[:, :, :0]
    mask = jnp.broadcast_to(real[..., None, None], latents.shape[:-1])
    mask = mask.astype(latents.dtype)
    base = jax.vmap(copy_nearest)(latents, real)
    carried = is_carried(real)
    return Conditions(
        projection=none,
        base=base,
        mask=mask,
        disparity=none[..., 0],
        world_to_camera=cameras.world_to_camera,
        intrinsics=cameras.unit_intrinsics,
        real=real,
        motion=None if motion is None else jnp.where(carried, motion, 0.0),
        row=None if motion is None else jnp.where(carried, latents[:, :1], base),
    )


def is_carried(real: Reals) -> Bool[Array, "b v t 1 1 1"]:
    """Say which frames show their view's first instant, moved as the first row is.

    Row and column are real, and nothing is nearer to the frame.
    """
    views, frames = real.shape[1:]
    whole = real[:, 0].all(1) & real[:, :, 0].all(1)
    first = np.arange(views)[None, :, None] * frames
    carried = whole[:, None, None] & ~real & (jax.vmap(nearest_real)(real) == first)
    return carried[..., None, None, None]
