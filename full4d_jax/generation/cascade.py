"""The cascade: a grid at full size from a prior that generates small frames.

    source, depth --small--> prior --enlarged--+
          |                                    v
          +------- projection at full size -> upsampler -> grid
                              |                              ^
                              +---- where it is sure --------+

The prior works at the number of rows that it was trained for and sees all views and instants; the
upsampler (`models.nets.unet`) then makes one target frame after the other, so that memory holds the
buffers of one. It blurs: of the projection's variance it keeps about half. So source pixels pass
through where the projection has no hole or crack nearby (`pass_through`). If the projection leaves
fewer than `LEAST_OPEN_SHARE` of the pixels open, both networks are skipped, and push-pull fills
them; most targets within 15 degrees of a camera at rest are of this kind.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import DEFAULT, Size
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.projection_guidance import (
    Depths,
    Map,
    Picture,
    Projection,
    Videos,
    each_frame,
    fill_holes,
    in_squares,
    merge,
    nearest_first,
    own_projection,
    splat,
)
from full4d_jax.generation.static_points import (
    StaticPoints,
    behind_subjects,
    fill_open,
    find_static_points,
    splat_known,
    without_cracks,
)
from full4d_jax.geometry import depth_maps, rays
from full4d_jax.geometry.arrays import Masks
from full4d_jax.grid import CleanPlate
from full4d_jax.models import functional, weights
from full4d_jax.models.nets import unet
from full4d_jax.session.errors import InputError
from gaussians.fitting.stillness import camera_moves

WEIGHTS = weights.SHIPPED / "upsampler.safetensors"
# Of a prior's frames.
MOST_ROWS = 4096
# Of the pixels of a grid: where the projection leaves fewer, push-pull restores them as well as
# the prior does (docs/cascade.md).
LEAST_OPEN_SHARE = 0.05


# JAX puts anything in the place of arrays.
@no_type_check
@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params"],
    meta_fields=["config", "prior_rows", "path"],
)
@dataclass(frozen=True)
class Upsampler:
    """An upsampler that is ready to be called.

    Attributes:
      config: sizes of the network; static under jit, as all but `params` is.
      params: its parameters.
      prior_rows: short side of the frames that it enlarges.
      path: of its weights.
    """

    config: unet.UpsamplerNetConfig
    params: functional.Params
    prior_rows: int
    path: Path


def load_upsampler(checkpoint: str | Path | None = None) -> Upsampler:
    """Read weights of an upsampler; None takes those in the package.

    Raises:
      InputError: There is no such file, or it holds another network.
    """
    path = Path(checkpoint or WEIGHTS)
    config = weights.model_of_metadata(path, unet.UpsamplerNetConfig)
    rows = weights.load_metadata(path).get("prior_rows", 0)
    if not 8 <= rows <= MOST_ROWS:
        where = f"{path}, metadata prior_rows"
        do = "give a file that `full4d train` wrote"
        raise InputError("upsampler", where, rows, f"8 to {MOST_ROWS}", do)
    _, shapes = functional.structure(unet.upsampling_net, config)
    return Upsampler(config, weights.load_params(path, like=shapes), rows, path)


def shrink(
    frames: Videos, depth: Depths, cameras: Cameras, size: tuple[int, int]
) -> tuple[Float[Array, "k t i j 3"], Float[Array, "k t i j"], Cameras]:
    """Return videos, depth and cameras of another size; depth is that of the nearest pixel."""
    height, width = size
    small = jax.image.resize(frames, (*frames.shape[:2], height, width, 3), "linear")
    small_depth = depth_maps.nearest(depth, height, width)
    return small, small_depth, cameras.resized(height, width)


def generate_small(
    prior: Prior,
    frames: Videos,
    depth: Depths,
    cameras: Cameras,
    key: PRNGKeyArray,
    rows: int,
    passing: Masks | None = None,
) -> Float[Array, "v t i j 3"]:
    """Return the prior's grid at `rows` rows, for real views at full size; see `generate_grid`.

    What still points of other instants show is projected too if one view alone is real, and moves;
    before a still one, where they are few, they gain nothing.
    """
    height, width = frames.shape[2:4]
    size = small_size(prior, height, width, rows)
    frames, depth, cameras = shrink(frames, depth, cameras, size)
    path = np.asarray(cameras.world_to_camera[0])
    known = None
    if len(frames) == 1 and camera_moves(path):
        if passing is not None:
            passing = depth_maps.nearest(passing, *size)
        lens = cameras.intrinsics[0]
        known = find_static_points(frames[0], depth[0], lens, path, passing)
    return generate_grid(prior, frames, depth, cameras, key, known)[0]


def small_size(prior: Prior, height: int, width: int, rows: int) -> tuple[int, int]:
    """Return the sides of the prior's frames for a grid of this height and width."""
    return sides(height, width, rows, prior.model.patch * prior.model.codec_stride)


def enlarges(upsampler: Upsampler | None, size: Size) -> bool:
    """Return whether a grid is larger than what the prior in the package was trained on."""
    if upsampler is None:
        return False
    trained = DEFAULT.data
    larger = min(size.height, size.width) > trained.height
    return larger or size.frames > trained.frames or size.views > trained.views


def in_parts(prior: Prior, trained: Size) -> Prior:
    """Return the prior with groups of views and windows of frames as large as it was trained on.

    What the sampler already says stays.
    """
    sampler = prior.sampler
    views = sampler.group_views or trained.views
    frames = sampler.window_frames or trained.frames
    parts = replace(sampler, group_views=views, window_frames=frames)
    return replace(prior, sampler=parts)


def generate_large(
    prior: Prior,
    upsampler: Upsampler,
    frames: Videos,
    depth: Depths,
    cameras: Cameras,
    key: PRNGKeyArray,
    plate: CleanPlate | None = None,
    passing: Masks | None = None,
) -> tuple[Float[Array, "v t h w 3"], Projection]:
    """Generate the views of a grid that are not real, at the size of those that are.

    Args:
      prior: a model with projection; see `prior.open_prior`.
      upsampler: enlarges what the prior generates.
      frames: videos of the real views in [-1, 1], the source first; sides are multiples of 8.
      depth: their z-depth in world units, 0 where unknown.
      cameras: of all views, the real ones first.
      key: randomness of the initial noise.
      plate: what is behind the source's subjects; None where it is unknown.
      passing: what the source sees for a while, of a camera that moves; None where it is unknown.

    Returns:
      Frames in [-1, 1], the real views as they are; and the projection into views 1 and following.

    Raises:
      InputError: The prior cannot divide its small frames into tokens.
    """
    real = len(frames)
    lenses, poses = cameras.arrays
    of_rows = [passing, *[None] * (real - 1)]
    known = tuple(map(find_static_points, frames, depth, lenses, poses, of_rows))
    hidden = behind_subjects(plate, frames[0], depth[0], lenses[0], poses[0])
    projection = project_grid(frames, depth, known, cameras, hidden)
    if generated_share(projection.mask) > 0:
        rows = upsampler.prior_rows
        small = generate_small(prior, frames, depth, cameras, key, rows, passing)
        generated = enlarge_grid(upsampler, small[real:], projection)
    else:
        generated = fill_frames(projection)
    own = own_projection(frames[1:], depth[1:])
    projection = jax.tree.map(lambda *x: jnp.concatenate(x), own, projection)
    return jnp.concatenate([frames, generated]), projection


@jax.jit
def project_grid(
    frames: Videos,
    depth: Depths,
    known: tuple[StaticPoints, ...],
    cameras: Cameras,
    hidden: StaticPoints | None = None,
) -> Projection:
    """Return the projection of the real views into the target frames, one frame after the other.

    A pixel comes from the first of these that has it:

    1. the real views at this instant, the nearest camera first
    2. what stood still and a real view saw at another instant (`static_points`)
    3. the clean plate, with what people hide (`source/depth/resting_scene.py`)

    Args:
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      known: points of each that stand still.
      cameras: of all views, the real ones first.
      hidden: points of the source's clean plate; None without one.
    """
    lenses, poses = cameras.arrays
    count = len(known)
    order = nearest_first(poses, count)

    def one(view, time):
        lens, pose = target = lenses[view + count], poses[view + count, time]
        relative = [rays.relative_pose(pose, poses[i, time]) for i in range(count)]
        now = frames[:, time], depth[:, time]
        front = map(splat, *now, lenses, relative, [lens] * count)
        behind = (splat_known(x.at(time), target, *depth.shape[2:]) for x in known)
        # What no view shows now comes from what they saw before.
        first = order[:, view + count - 1, time]
        drawn = fill_open(merge(front, first), merge(behind, first))
        if hidden is None:
            return drawn
        unseen = splat_known(hidden.at(time), target, *depth.shape[2:])
        return fill_open(drawn, without_cracks(unseen))

    return each_frame(one, len(poses) - count, frames.shape[1])


@jax.jit
def enlarge_grid(
    upsampler: Upsampler, small: Float[Array, "n t i j 3"], projection: Projection
) -> Float[Array, "n t h w 3"]:
    """Return the target frames at full size, made one after the other.

    What the projection does not have comes from the upsampler, which sees what the prior generated,
    and holes filled from their farther side (`projection_guidance.fill_holes`).

    Args:
      upsampler: the network.
      small: what the prior generated for the targets.
      projection: what is known of them.
    """

    def one(view, time):
        guides = guide(projection.at(view, time), small[view, time])
        batch = jax.tree.map(lambda x: x[None], guides)
        upsampled = unet.upsample(upsampler.config, upsampler.params, batch)[0]
        frame = pass_through(upsampled, guides.projected, guides.mask)
        return jnp.clip(frame, -1, 1)

    return each_frame(one, *small.shape[:2])


@jax.jit
def fill_frames(projection: Projection) -> Float[Array, "n t h w 3"]:
    """Return the target frames with holes filled from their farther side, one after the other."""

    def one(view, time):
        return fill_holes(projection.at(view, time))

    return each_frame(one, *projection.mask.shape[:2])


def pass_through(made: Picture, projected: Picture, mask: Map) -> Picture:
    """Return a frame with the projection's own pixels where it covers all that is around them.

    Args:
      made: the frame of the upsampler.
      projected: the projection of the source, 0 in holes.
      mask: 1 where a source point landed.
    """
    return made + projected_share(mask)[..., None] * (projected - made)


def projected_share(mask: Map) -> Map:
    """Return the share of the projection in each pixel: it falls towards holes, without a seam."""
    side = 3
    sure = in_squares(mask, side, jax.lax.min, 1.0)
    doubtful = in_squares(1 - sure, side, jax.lax.add)
    return sure * (1 - doubtful / side**2)


def generated_share(masks: Float[Array, "n t h w"]) -> float:
    """Return the share of target frames that is the upsampler's, not the projection's or plate's.

    Args:
      masks: of the projection into them.

    Returns:
      0 if both networks are skipped, since at most `LEAST_OPEN_SHARE` is open.
    """
    share = float(_open_share(masks))
    return share if share > LEAST_OPEN_SHARE else 0.0


@jax.jit
def _open_share(masks: Float[Array, "n t h w"]) -> Float[Array, ""]:
    frames = masks.reshape(-1, *masks.shape[2:])
    means = jax.lax.map(lambda x: projected_share(x).mean(), frames)
    return 1 - means.mean()


def guide(drawn: Projection, coarse: Float[Array, "i j 3"]) -> unet.Guidance:
    """Return what the upsampler sees of one target frame, without a batch axis.

    Args:
      drawn: the projection of the source at full size.
      coarse: the prior's frame.
    """
    enlarged = jax.image.resize(coarse, drawn.frames.shape, "cubic")
    filled = fill_holes(drawn)
    return unet.Guidance(enlarged, drawn.frames, drawn.mask, drawn.disparity, filled)
