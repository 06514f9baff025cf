"""Sampling a flow: a schedule of flow times and a velocity, in one scan of Euler's steps.

More views or frames than the network has learned to see at once are sampled in parts. At every step
the target views are divided into other groups (`view_groups`), and each group is queried
together with the source. Frames are sampled in windows that overlap, one after the other, each of
which begins with what the one before ended with. With both, every window is sampled in groups.

A part's conditions are those of its views and frames; a window's world is the source camera at its
own first frame, as in training, and its unit that of the whole video.

Without poses a part is a group of views at a group of instants, always with the first view and the
first instant, which the real row and column are: what a part must agree with is in its sight.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from full4d_jax.config import SamplerConfig
from full4d_jax.flow import Latents, shift_time
from full4d_jax.geometry.rays import relative_pose
from full4d_jax.models.dit.conditions import Conditions

State = Float[Array, "b ..."]
Times = Float[Array, "n"]
Groups = Int[np.ndarray, "steps g m"]
# They take (z, tau (b,)); a step; (members (m,), z, tau); a window's first frame.
Velocity = Callable[..., State]
VelocityAt = Callable[[Int[Array, ""]], Velocity]
# Conditions without an axis of time.
STILL = ("intrinsics", "text")
# Several, where guidance queries the network several times.
Guides = tuple[Conditions, ...]
Bind = Callable[[Guides], Velocity]


def schedule(steps: int, shift: float = 1.0) -> Times:
    """Return `steps` + 1 flow times from 1 down to 0."""
    return shift_time(jnp.linspace(1.0, 0.0, steps + 1), shift)


def sample(velocity: Velocity, noise: State, times: Times) -> State:
    """Integrate dz/dtau = velocity(z, tau) from `noise` at times[0] to times[-1].

    Args:
      velocity: (z, tau (b,)) -> dz/dtau, all conditions bound.
      noise: the initial state; scaled noise for sampling, zeros for the mean in one step.
      times: decreasing flow times, see `schedule`.
    """
    return integrate(lambda _: velocity, noise, times)


def integrate(velocity_at: VelocityAt, noise: State, times: Times) -> State:
    """Sample with another velocity at every step, counted from 0; exact on straight paths."""

    def body(z, now):
        step, tau, then = now
        return z + (then - tau) * velocity_at(step)(z, jnp.full(z.shape[0], tau)), None

    steps = jnp.arange(len(times) - 1), times[:-1], times[1:]
    return jax.lax.scan(body, noise, steps)[0]


def guided(velocity: Velocity, without: Sequence[tuple[Velocity, float]]) -> Velocity:
    """Guide by several conditions at once (classifier-free): v + sum_i (scale_i - 1) (v - v_i).

    With one condition this is v_1 + scale_1 (v - v_1); a scale of 1 changes nothing.

    Args:
      velocity: with all conditions.
      without: for each condition, the velocity without that one (and with the others), and its
        scale.
    """

    def combined(z, tau):
        full = velocity(z, tau)
        pulls = ((scale - 1) * (full - other(z, tau)) for other, scale in without)
        return sum(pulls, start=full)

    return combined if without else velocity


def view_groups(views: int, size: int, steps: int) -> Groups:
    """Return groups of at most `size` of the views 0 .. views - 1, every view in one, by step.

    The views lie on a circle. Groups are neighbours at even steps and spread over the circle at odd
    ones, and all move one view further each step: of the partitions tried, views agreed in far
    fewer steps so than with neighbours alone. Where groups cannot be equal some views belong to
    two. For views <= size there is one group, always the same.
    """
    count = -(-views // size)
    size = -(-views // count)
    drawn = []
    for step in range(steps):
        order = (np.arange(count * size) + (step if count > 1 else 0)) % views
        columns = order.reshape(size, count).T
        groups = columns if step % 2 else order.reshape(count, size)
        drawn.append(np.sort(groups, -1))
    return np.array(drawn, np.int32)


def in_groups(velocity: Velocity, groups: Groups) -> VelocityAt:
    """Return the velocity of all views in groups of m views, redrawn at every step.

    Args:
      velocity: (members (m,), their z (b m ...), flow times (b,)) -> their velocity.
      groups: of every step, members of each group; see `view_groups`. A view in several groups
        of a step moves with the mean of their velocities.

    Returns:
      For `integrate`, the velocity at each of as many steps.
    """

    def at(step):
        now = jnp.asarray(groups)[step]

        def whole(z, tau):
            parts = jax.lax.map(
                lambda members: velocity(members, z[:, members], tau), now
            )
            parts = jnp.moveaxis(parts, 0, 1).reshape(z.shape[0], -1, *z.shape[2:])
            total = jnp.zeros_like(z).at[:, now.reshape(-1)].add(parts)
            times_seen = jnp.zeros(z.shape[1]).at[now.reshape(-1)].add(1.0)
            return total / times_seen.reshape(1, -1, *(1,) * (z.ndim - 2))

        return whole

    return at


def sample_in_windows(
    velocity: Callable[[Int[Array, ""]], VelocityAt],
    noise: Float[Array, "b v t ..."],
    times: Times,
    size: int,
    overlap: int,
) -> Float[Array, "b v t ..."]:
    """Sample longer videos than the network sees at once, window after window in time.

    The first `overlap` frames (or more, in the last window) of each window but the first are those
    that the window before ended with: they stay as they are, and guide the others. From tau = 1 on
    they are (1 - tau) clean + tau noise, as in training.

    Args:
      velocity: of a window, given its first frame (), at a step (): (z (b v size ...), tau (b,)) ->
        dz/dtau. With `in_groups` windows are sampled in groups of views.
      noise: the initial state of all frames; there must be some for the overlap to guide.
      times: decreasing flow times, more than two for the same reason.
      size: frames of a window; of a shorter video all.
      overlap: frames, fewer than `size`.
    """
    frames = noise.shape[2]
    size = min(size, frames)
    starts = window_starts(frames, size, overlap)
    known = np.concatenate([[0], starts[:-1] + size - starts[1:]])

    def window(done, place):
        start, known = place
        pair = done, noise
        part, initial = (
            jax.lax.dynamic_slice_in_dim(x, start, size, axis=2) for x in pair
        )
        ones = (1,) * (noise.ndim - 3)
        is_known = (jnp.arange(size) < known).reshape(1, 1, -1, *ones)
        at = velocity(start)

        def held(step):
            # What is known goes straight from noise to where it is clean.
            own = at(step)
            return lambda z, tau: jnp.where(is_known, initial - part, own(z, tau))

        end = integrate(held, initial, times)
        part = jnp.where(is_known, part, end)
        return jax.lax.dynamic_update_slice_in_dim(done, part, start, axis=2), None

    places = jnp.asarray(starts, jnp.int32), jnp.asarray(known, jnp.int32)
    return jax.lax.scan(window, jnp.zeros_like(noise), places)[0]


def window_starts(frames: int, size: int, overlap: int) -> Int[np.ndarray, "w"]:
    """Return the first frame of each window of `size` frames."""
    starts = np.arange(0, frames - overlap, size - overlap)
    return np.unique(np.minimum(starts, frames - size))


def network_calls(
    sampler: SamplerConfig, views: int, frames: int, *, projected: bool
) -> int:
    """Return how often `sample_grid` calls the network for one grid.

    Args:
      sampler: steps, guidance and the sizes of groups and windows.
      views: of the grid, the source included.
      frames: latent frames of each view.
      projected: whether the model has a projection.
    """
    guides = 1 + (sampler.guidance != 1) + (sampler.text_guidance != 1)
    groups = _with_first(views, sampler.group_views, 1).shape[1]
    size = sampler.window_frames
    if projected and 0 < size < frames:
        windows = len(window_starts(frames, size, sampler.window_overlap))
    else:
        windows = _with_first(frames, size, 1).shape[1]
    return sampler.steps * guides * groups * windows


def sample_grid(
    sampler: SamplerConfig, bind: Bind, guides: Guides, noise: Latents
) -> Latents:
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

            velocity = in_groups(of_part, of_frames)(step)(rows.swapaxes(1, 2), tau)
            return velocity.swapaxes(1, 2)

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
    cut = partial(
        jax.lax.dynamic_slice_in_dim, start_index=start, slice_size=size, axis=2
    )
    part = _picked(conditions, STILL, cut)
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
    arrays = conditions._replace(**dict.fromkeys(whole))
    kept = {name: getattr(conditions, name) for name in whole}
    return jax.tree.map(pick, arrays)._replace(**kept)
