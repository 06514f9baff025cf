"""The cascade: a grid at full size from a prior that generates small frames.

    source, depth --small--> prior --enlarged--+
          |                                    v
          +------- projection at full size -> upsampler -> grid
                              |                              ^
                              +---- where it is sure --------+

The prior works at the number of rows that it was trained for and sees all views and instants; the
upsampler (`models.upsampler`) then makes one target frame after the other, so that memory holds the
buffers of one. It blurs: of the projection's variance it keeps about half. So source pixels pass
through where the projection has no hole or crack nearby (`pass_through`).
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import no_type_check

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from full4d_jax.cameras import Cameras, sides
from full4d_jax.config import DataConfig
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.projection_guidance import Projection, fill_holes, splat
from full4d_jax.generation.several_views import merge, nearest_first, own_projection
from full4d_jax.generation.static_points import (
    StaticPoints,
    behind_subjects,
    fill_open,
    find_static_points,
    splat_known,
    without_cracks,
)
from full4d_jax.geometry.depth_maps import nearest
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.grid import CleanPlate
from full4d_jax.models import upsampler as network
from full4d_jax.models.functional import Params
from full4d_jax.models.upsampler import Guidance, UpsamplerNetConfig
from full4d_jax.models.weights import load_params, model_of_metadata
from full4d_jax.session.errors import InputError
from gaussians.fitting.stillness import camera_moves

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "upsampler.safetensors"
MOST_ROWS = 4096  # of a prior's frames


@no_type_check  # jax puts anything in the place of arrays
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

    config: UpsamplerNetConfig
    params: Params
    prior_rows: int
    path: Path


def load_upsampler(checkpoint: str | Path | None = None) -> Upsampler:
    """Read weights of an upsampler; None takes those in the package.

    Raises:
      InputError: There is no such file, or it holds another network.
    """
    path = Path(checkpoint or SHIPPED)
    params, metadata = load_params(path)
    config = model_of_metadata(path, metadata, UpsamplerNetConfig)
    rows = metadata.get("prior_rows", 0)
    if not 8 <= rows <= MOST_ROWS:
        expected = f"8 to {MOST_ROWS}"
        do = "give a file that `full4d train` wrote"
        raise InputError("upsampler", f"{path}, metadata prior_rows", rows, expected, do)
    shapes = jax.jit(network.init_params, static_argnums=0).eval_shape(config, jax.random.key(0))
    return Upsampler(config, load_params(path, like=shapes)[0], rows, path)


def shrink(
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    cameras: Cameras,
    size: tuple[int, int],
) -> tuple[Float[Array, "k t i j 3"], Float[Array, "k t i j"], Cameras]:
    """Return videos, depth and cameras of another size; depth is that of the nearest pixel."""
    height, width = size
    small = jax.image.resize(frames, (*frames.shape[:2], height, width, 3), "linear")
    scale = np.array([[width / cameras.width], [height / cameras.height], [1.0]], np.float32)
    resized = replace(
        cameras, intrinsics=cameras.intrinsics * scale[None], height=height, width=width
    )
    return small, nearest(depth, height, width), resized


def generate_small(
    prior: Prior,
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    rows: int,
) -> Float[Array, "v t i j 3"]:
    """Return the prior's grid at `rows` rows, for real views at full size; see `generate_grid`.

    What still points of other instants show is projected too if one view alone is real, and moves;
    before a still one, where they are few, they gain nothing.
    """
    multiple = prior.model.patch * prior.model.codec_stride
    size = sides(frames.shape[2], frames.shape[3], rows, multiple)
    frames, depth, cameras = shrink(frames, depth, cameras, size)
    path = np.asarray(cameras.world_to_camera[0])
    known = None
    if len(frames) == 1 and camera_moves(path):
        known = find_static_points(frames[0], depth[0], cameras.intrinsics[0], path)
    return generate_grid(prior, frames, depth, cameras, key, known)[0]


def in_parts(prior: Prior, trained: DataConfig) -> Prior:
    """Return the prior with groups of views and windows of frames as large as it was trained on.

    What the sampler already says stays.
    """
    sampler = prior.sampler
    views = sampler.group_views or trained.views
    frames = sampler.window_frames or trained.frames
    return replace(prior, sampler=replace(sampler, group_views=views, window_frames=frames))


def generate_large(
    prior: Prior,
    upsampler: Upsampler,
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    cameras: Cameras,
    key: PRNGKeyArray,
    plate: CleanPlate | None = None,
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

    Returns:
      Frames in [-1, 1], the real views as they are; and the projection into views 1 and following.

    Raises:
      InputError: The prior cannot divide its small frames into tokens.
    """
    real = len(frames)
    small = generate_small(prior, frames, depth, cameras, key, upsampler.prior_rows)
    lenses = cameras.intrinsics
    poses = cameras.world_to_camera
    seen = [find_static_points(frames[i], depth[i], lenses[i], poses[i]) for i in range(real)]
    hidden = behind_subjects(plate, frames[0], depth[0], lenses[0], poses[0])
    generated, projection = enlarge_grid(
        upsampler, small[real:], frames, depth, tuple(seen), cameras, hidden
    )
    own = own_projection(frames[1:], depth[1:])
    projection = jax.tree.map(lambda *x: jnp.concatenate(x), own, projection)
    return jnp.concatenate([frames, generated]), projection


@jax.jit
def enlarge_grid(
    upsampler: Upsampler,
    small: Float[Array, "n t i j 3"],
    frames: Float[Array, "k t h w 3"],
    depth: Float[Array, "k t h w"],
    known: tuple[StaticPoints, ...],
    cameras: Cameras,
    hidden: StaticPoints | None = None,
) -> tuple[Float[Array, "n t h w 3"], Projection]:
    """Return the target frames at full size, and the projection of the real views into them.

    They are made one frame after the other. A pixel comes from the first of these that has it:

    1. the real views at this instant, the nearest camera first
    2. what stood still and a real view saw at another instant (`static_points`)
    3. the clean plate, with what people hide (`source/depth/clean_plate.py`)
    4. the upsampler, which sees what the prior generated, and holes filled from their farther side
       (`projection_guidance.fill_holes`)

    A grid that is not enlarged has no plate.

    Args:
      upsampler: the network.
      small: what the prior generated for the targets.
      frames: videos of the real views, [-1, 1]; the source is the first.
      depth: their z-depth in world units, 0 where unknown.
      known: points of each that stand still.
      cameras: of all views, the real ones first.
      hidden: points of the source's clean plate; None without one.
    """
    lenses = jnp.asarray(cameras.intrinsics)
    poses = jnp.asarray(cameras.world_to_camera)
    count = len(known)
    order = nearest_first(poses, count)

    def one(view: Array, time: Array) -> tuple[Array, ...]:
        target = lenses[view + count], poses[view + count, time]
        first = order[:, view + count - 1, time]
        front = [
            splat(
                frames[i, time],
                depth[i, time],
                lenses[i],
                relative_pose(target[1], poses[i, time]),
                target[0],
            )
            for i in range(count)
        ]
        behind = [splat_known(x.at(time), target, *depth.shape[2:]) for x in known]
        # What no view shows now comes from what they saw before.
        drawn = fill_open(_merged(front, first), _merged(behind, first))
        if hidden is not None:
            unseen = splat_known(hidden.at(time), target, depth.shape[2], depth.shape[3])
            drawn = fill_open(drawn, without_cracks(unseen))
        guides = guide(drawn, small[view, time])
        guide_batch = jax.tree.map(lambda x: x[None], guides)
        upsampled = network.upsample(upsampler.config, upsampler.params, guide_batch)[0]
        frame = pass_through(upsampled, guides.projected, guides.mask)
        return jnp.clip(frame, -1, 1), guides.projected, guides.mask, guides.disparity

    views, times = small.shape[:2]
    each = jnp.divmod(jnp.arange(views * times), times)
    drawn = jax.lax.map(lambda x: one(*x), each)
    large, *projected = (x.reshape(views, times, *x.shape[1:]) for x in drawn)
    return large, Projection(*projected)


def pass_through(
    made: Float[Array, "h w 3"],
    projected: Float[Array, "h w 3"],
    mask: Float[Array, "h w"],
    window_pixels: int = 3,
) -> Float[Array, "h w 3"]:
    """Return a frame with the projection's own pixels where it covers all that is around them.

    Args:
      made: the frame of the upsampler.
      projected: the projection of the source, 0 in holes.
      mask: 1 where a source point landed.
      window_pixels: side of what the projection must cover.
    """
    window = (window_pixels, window_pixels)
    sure = jax.lax.reduce_window(mask, 1.0, jax.lax.min, window, (1, 1), "SAME")
    doubtful = jax.lax.reduce_window(1 - sure, 0.0, jax.lax.add, window, (1, 1), "SAME")
    # It falls towards holes, so that no seam shows.
    share = (sure * (1 - doubtful / window_pixels**2))[..., None]
    return made + share * (projected - made)


def _merged(layers: list[Projection], first: Int[Array, "k"]) -> Projection:
    """Return drawings of real views in one target, of which those numbered first count first."""
    return merge(jax.tree.map(lambda *x: jnp.stack(x), *layers), first)


def guide(drawn: Projection, coarse: Float[Array, "i j 3"]) -> Guidance:
    """Return what the upsampler sees of one target frame, without a batch axis.

    Args:
      drawn: the projection of the source at full size.
      coarse: the prior's frame.
    """
    enlarged = jax.image.resize(coarse, drawn.frames.shape, "cubic")
    return Guidance(enlarged, drawn.frames, drawn.mask, drawn.disparity, fill_holes(drawn))
