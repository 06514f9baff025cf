"""Grids with more views or frames than the network has learned to see, sampled in parts.

At every step the target views are divided into other groups (`sampling.view_groups`), and each
group is asked about together with the source. Frames are sampled in windows, one after the other,
each of which begins with what the one before ended with. With both, every window is sampled in
groups.

A part's conditions are those of its views and frames; a window's world is the source camera at its
own first frame, as in training, and its unit that of the whole video.

Without poses a part is a group of views at a group of instants, always with the first view and the
first instant, which the real row and column are: what a part must agree with is in its sight.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from full4d_jax.config import SamplerConfig
from full4d_jax.flow import Latents
from full4d_jax.generation.sampling import (
    Velocity,
    VelocityAt,
    in_groups,
    integrate,
    sample_in_windows,
    schedule,
    view_groups,
)
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.models.conditions import Conditions

# Conditions without an axis of time.
STILL = ("intrinsics", "text")
# Several, where guidance asks several times.
Guides = tuple[Conditions, ...]
Bind = Callable[[Guides], Velocity]


def sample_grid(sampler: SamplerConfig, bind: Bind, guides: Guides, noise: Latents) -> Latents:
    """Sample the latents of the generated views.

    Args:
      sampler: steps, schedule and the sizes of groups and windows.
      bind: the velocity of (a part of) the grid from the conditions of that part.
      guides: conditions of the whole grid, source first.
      noise: the initial state, scaled; all views of the guides, or all but the source where that is
        not generated.
    """
    times = schedule(sampler.steps, sampler.shift)
    if not guides[0].projection.shape[2]:
        return integrate(_velocity_of_parts(sampler, bind, guides, noise), noise, times)
    size = sampler.window_frames

    def of(part):
        return velocity_of_groups(sampler, bind, part, noise.shape[1])

    if not 0 < size < noise.shape[2]:
        return integrate(of(guides), noise, times)

    def window(start):
        return of(tuple(frames_of(x, start, size) for x in guides))

    return sample_in_windows(window, noise, times, size, sampler.window_overlap)


def velocity_of_groups(
    sampler: SamplerConfig, bind: Bind, guides: Guides, generated: int
) -> VelocityAt:
    """Return the velocity of all `generated` views at each step, by groups if they are too many."""
    views = guides[0].projection.shape[1]
    # 1 where the source is not generated.
    real = views - generated
    if not 1 < sampler.group_views < views:
        velocity = bind(guides)
        return lambda _: velocity
    # The source is in each.
    groups = _with_first(views, sampler.group_views, sampler.steps)

    def of_members(members, z, tau):
        views = jnp.concatenate([jnp.zeros(real, members.dtype), members + real])
        return bind(tuple(views_of(x, views) for x in guides))(z, tau)

    return in_groups(of_members, groups[..., real:] - real)


def _velocity_of_parts(
    sampler: SamplerConfig, bind: Bind, guides: Guides, noise: Latents
) -> VelocityAt:
    """Return the velocity of a whole grid without poses at each step, by parts if it is too large.

    Args:
      sampler: the sizes of the parts, of latent frames.
      bind: the velocity of (a part of) the grid from the conditions of that part.
      guides: conditions of the whole grid.
      noise: the initial state.
    """
    views, frames = noise.shape[1:3]
    if not (0 < sampler.group_views < views or 0 < sampler.window_frames < frames):
        velocity = bind(guides)
        return lambda _: velocity
    of_views = _with_first(views, sampler.group_views, sampler.steps)
    of_frames = _with_first(frames, sampler.window_frames, sampler.steps)

    def at(step):
        def of_group(members, rows, tau):
            part = tuple(views_of(x, members) for x in guides)

            def of_part(instants, z, tau):
                flow = bind(tuple(instants_of(x, instants) for x in part))
                return flow(z.swapaxes(1, 2), tau).swapaxes(1, 2)

            return in_groups(of_part, of_frames)(step)(rows.swapaxes(1, 2), tau).swapaxes(1, 2)

        return in_groups(of_group, of_views)(step)

    return at


def _with_first(count: int, size: int, steps: int) -> Int[np.ndarray, "steps g m"]:
    """Return groups of at most `size` of 0 .. count - 1 for each step, number 0 in every one."""
    if not 0 < size < count:
        return np.tile(np.arange(count, dtype=np.int32), (steps, 1, 1))
    return np.pad(view_groups(count - 1, size - 1, steps) + 1, ((0, 0), (0, 0), (1, 0)))


def views_of(conditions: Conditions, views: Int[Array, "m"]) -> Conditions:
    """Return the conditions of some views."""
    return _picked(conditions, ("text",), lambda x: x[:, views])


def frames_of(conditions: Conditions, start: Int[Array, ""], size: int) -> Conditions:
    """Return the conditions of some frames; the world is the source camera at the first of them."""
    part = _picked(
        conditions, STILL, lambda x: jax.lax.dynamic_slice_in_dim(x, start, size, axis=2)
    )
    poses = part.world_to_camera
    return part._replace(world_to_camera=relative_pose(poses, poses[:, :1, :1]))


def instants_of(conditions: Conditions, instants: Int[Array, "n"]) -> Conditions:
    """Return the conditions of some latent frames of a grid without poses."""
    # There is no projection.
    return _picked(conditions, STILL, lambda x: x[:, :, instants] if x.shape[2] else x)


def _picked(
    conditions: Conditions, whole: tuple[str, ...], pick: Callable[[Array], Array]
) -> Conditions:
    """Return what `pick` takes of each array that is there, but of the `whole` ones."""
    arrays = conditions._asdict().items()
    return conditions._replace(
        **{name: pick(x) for name, x in arrays if x is not None and name not in whole}
    )
