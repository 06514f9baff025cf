"""Grids with more views or frames than the network has learned to see, sampled in parts.

At every step the target views are divided into other groups (`sampling.view_groups`), and each
group is asked about together with the source. Frames are sampled in windows, one after the other,
each of which begins with what the one before ended with. With both, every window is sampled in
groups.

A part's conditions are those of its views and frames; a window's world is the source camera at its
own first frame, as in training, and its unit that of the whole video.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.config import SamplerConfig
from full4d_jax.flow import Latents
from full4d_jax.generation.sampling import (
    Stepper,
    Velocity,
    VelocityAt,
    euler,
    in_groups,
    integrate,
    sample_in_windows,
    schedule,
    view_groups,
)
from full4d_jax.models.conditions import Conditions

STILL = ("intrinsics", "text")  # conditions without an axis of time
Guides = tuple[Conditions, ...]  # several, where guidance asks several times
Bind = Callable[[Guides], Velocity]


def sample_grid(
    sampler: SamplerConfig, bind: Bind, guides: Guides, noise: Latents, stepper: Stepper = euler
) -> Latents:
    """Sample the latents of the generated views.

    Args:
      sampler: steps, schedule and the sizes of groups and windows.
      bind: the velocity of (a part of) the grid from the conditions of that part.
      guides: conditions of the whole grid, source first.
      noise: the initial state, scaled; all views of the guides, or all but the source where that is
        not generated.
      stepper: from one flow time to the next.
    """
    times = schedule(sampler.steps, sampler.shift)
    frames, size = noise.shape[2], sampler.window_frames

    def of(part: Guides) -> VelocityAt:
        return velocity_of_groups(sampler, bind, part, noise.shape[1])

    if not 0 < size < frames:
        return integrate(of(guides), noise, times, stepper)

    def window(start: Int[Array, ""]) -> VelocityAt:
        return of(tuple(frames_of(x, start, size) for x in guides))

    return sample_in_windows(window, noise, times, size, sampler.window_overlap, stepper)


def velocity_of_groups(
    sampler: SamplerConfig, bind: Bind, guides: Guides, generated: int
) -> VelocityAt:
    """Return the velocity of all `generated` views at each step, by groups if they are too many."""
    given = guides[0].projection.shape[1] - generated  # 1 where the source is not generated
    targets, size = generated + given - 1, sampler.group_views - 1
    if not 0 < size < targets:
        velocity = bind(guides)
        return lambda _: velocity
    groups = view_groups(targets, size, sampler.steps) + 1
    groups = np.pad(groups, ((0, 0), (0, 0), (1, 0)))  # the source, view 0, is in each

    def of_members(members: Int[Array, "m"], z: Latents, *times: Float[Array, "b"]) -> Latents:
        views = jnp.concatenate([jnp.zeros(given, members.dtype), members + given])
        return bind(tuple(views_of(x, views) for x in guides))(z, *times)

    return in_groups(of_members, groups[..., given:] - given)


def views_of(conditions: Conditions, views: Int[Array, "m"]) -> Conditions:
    """Return the conditions of some views."""
    kept = {name: x[:, views] for name, x in _arrays(conditions).items() if name != "text"}
    return conditions._replace(**kept)


def frames_of(conditions: Conditions, start: Int[Array, ""], size: int) -> Conditions:
    """Return the conditions of some frames; the world is the source camera at the first of them."""
    kept = {
        name: jax.lax.dynamic_slice_in_dim(x, start, size, axis=2)
        for name, x in _arrays(conditions).items()
        if name not in STILL
    }
    poses = kept["world_to_camera"]
    kept["world_to_camera"] = poses @ jnp.linalg.inv(poses[:, :1, :1])
    return conditions._replace(**kept)


def _arrays(conditions: Conditions) -> dict[str, Array]:
    """Return the conditions that are not None, by name."""
    return {name: x for name, x in conditions._asdict().items() if x is not None}
