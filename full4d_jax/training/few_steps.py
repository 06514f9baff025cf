"""Few-step distillation: adapters learn one step for several of the network's.

Phased consistency distillation (arXiv 2405.18407). The sampler's flow times 1 = s_0 > ... > s_n = 0
divide each path into n = `flow.segments` segments, and finer times divide those into
`TEACHER_STEPS` parts. From a point z at a finer time tau, the teacher, which is the network
without its adapters, takes one of Euler's steps to the next time tau',

    z' = z + (tau' - tau) u(z, tau)

From both points the student, the network with its adapters, shall reach the same end of the
segment, at s:

    z + (s - tau) v(z, tau) = sg(z' + (s - tau') v(z', tau')) =: e

So v should be (z - e) / (tau - s), a target like that of flow matching. After training, n Euler
steps do what n x `TEACHER_STEPS` of the teacher do. Only adapters change, so that teacher and
student share all other parameters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from full4d_jax.config import Config
from full4d_jax.flow import Latents, bcast
from full4d_jax.generation.sampling import Velocity, guided, schedule
from full4d_jax.models import trainable
from full4d_jax.models.dit.attention.fused import Attend
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.dit import velocity
from full4d_jax.models.functional import Params
from full4d_jax.training.microbatch import Microbatch

PerClip = Float[Array, "b"]
# Of a segment: 64 steps of the teacher for 4 of the student.
TEACHER_STEPS = 16


class SegmentTimes(NamedTuple):
    """Flow times of each clip, decreasing.

    Attributes:
      tau: of the point.
      after: the next finer time.
      end: of the segment, at most `after`.
    """

    tau: PerClip
    after: PerClip
    end: PerClip


def draw_segments(
    key: PRNGKeyArray, part: Microbatch, segments: int, shift: float
) -> SegmentTimes:
    """Draw one of the finer times for each clip.

    Args:
      key: all are a function of it.
      part: which clips of the batch they are for.
      segments: steps of the sampler.
      shift: of the sampler's flow times.
    """
    times = schedule(segments * TEACHER_STEPS, shift)
    place = jax.random.randint(key, (part.size,), 0, segments * TEACHER_STEPS)
    end = (place // TEACHER_STEPS + 1) * TEACHER_STEPS
    of_batch = SegmentTimes(times[place], times[place + 1], times[end])
    return jax.tree.map(part.take, of_batch)


def student_and_target(
    config: Config,
    params: Params,
    conditions: Conditions,
    z: Latents,
    times: SegmentTimes,
    negative: Float[np.ndarray, "n e"] | None,
    attend: Attend | None = None,
) -> tuple[Latents, Latents]:
    """Return the student's velocity at z, and the one that leads to its segment's end.

    Args:
      config: the experiment.
      params: of the student, with its adapters.
      conditions: what the clips are generated from.
      z: latents at `times.tau`.
      times: of each clip.
      negative: text that the teacher's guidance leads away from.
      attend: in place of `fused_attention`.
    """
    held = jax.lax.stop_gradient(params)
    without = trainable.without_adapters(config.model)
    network = velocity(without, trainable.drop_adapters(held), attend)
    follower = velocity(config.model, held, attend)

    def bound(network: Callable[..., Latents], conditions: Conditions) -> Velocity:
        return lambda z, tau: network(z, tau, conditions)

    guides = []
    if config.flow.teacher_guidance != 1:
        assert negative is not None, "rules ask for two texts"
        text = jnp.broadcast_to(negative, (len(z), *negative.shape))
        without_text = bound(network, conditions._replace(text=text))
        guides.append((without_text, config.flow.teacher_guidance))
    teacher = guided(bound(network, conditions), guides)
    target = segment_velocity(bound(follower, conditions), teacher, z, times)
    v = velocity(config.model, params, attend)(z, times.tau, conditions)
    return v, target


def segment_velocity(
    student: Velocity, teacher: Velocity, z: Latents, times: SegmentTimes
) -> Latents:
    """Return the velocity that the student should have at z, (z - e) / (tau - s) above.

    Args:
      student: of (z, tau), without gradient.
      teacher: likewise, guided as it is sampled.
      z: latents at `times.tau`.
      times: of each clip.
    """
    following = _euler(teacher, z, times.tau, times.after)
    end = _euler(student, following, times.after, times.end)
    return (z - end) / bcast(times.tau - times.end, z)


def _euler(velocity: Velocity, z: Latents, tau: PerClip, then: PerClip) -> Latents:
    """Take one of Euler's steps, of another length for each clip."""
    return z + bcast(then - tau, z) * velocity(z, tau)
