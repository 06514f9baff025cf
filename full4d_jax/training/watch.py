"""Bad losses: a step whose loss is not finite, or far above its running mean, changes nothing.

The decision is made inside the jitted step, from the state, what is watched and the batch alone,
so a resumed run makes the same one. The step still counts, so that the position in the data remains
the number of steps; what counts updates (the optimizer's schedule) does not see it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from full4d_jax.training.state import TrainState

LENGTH = 100  # good steps over which the mean runs
SETTLED = 10  # good steps before the mean says what a spike is

Metrics = dict[str, Float[Array, "..."]]
Watched = Callable[..., tuple[TrainState, "Watch", Metrics]]


class Watch(NamedTuple):
    """Of the losses so far; part of what a checkpoint holds."""

    mean: Float[Array, ""]
    good: Int[Array, ""]  # steps in the mean
    in_a_row: Int[Array, ""]  # bad steps since


def first_watch() -> Watch:
    """Before the first step."""
    return Watch(jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))


def to_json(watch: Watch) -> dict[str, float | int]:
    """Plain numbers that `from_json` turns back into the same bits."""
    return {name: x.item() for name, x in jax.device_get(watch)._asdict().items()}


def from_json(saved: dict[str, Any]) -> Watch:
    """The inverse of `to_json`."""
    like = first_watch()._asdict()
    return Watch(**{name: jnp.asarray(saved[name], x.dtype) for name, x in like.items()})


def watched(step: Callable[..., tuple[TrainState, Metrics]], spike: float) -> Watched:
    """(state, watch, batch, *given) -> (state, watch, metrics) around a step.

    Its metrics have `bad` besides: 0, or the how-manieth bad step in a row was left out.

    Args:
      step: (state, batch, *given) -> (state, metrics), of which `loss` is watched, and
        `gradient_norm` where there is one.
      spike: how many times the running mean a loss may be; 0 = any finite loss is good.
    """

    def run(state: TrainState, watch: Watch, batch: Any, *given: Any):
        after, metrics = step(state, batch, *given)
        bad = is_bad(watch, metrics, spike)
        kept = jax.tree.map(lambda old, new: jnp.where(bad, old, new), state, after)
        weight = 1 / jnp.minimum(watch.good + 1, LENGTH).astype(jnp.float32)
        good = Watch(watch.mean + weight * (metrics["loss"] - watch.mean), watch.good + 1, 0 * bad)
        left_out = watch._replace(in_a_row=watch.in_a_row + 1)
        watch = jax.tree.map(lambda old, new: jnp.where(bad, old, new), left_out, good)
        return kept._replace(step=after.step), watch, {**metrics, "bad": watch.in_a_row}

    return run


def is_bad(watch: Watch, metrics: Metrics, spike: float) -> Bool[Array, ""]:
    """Whether a step with these metrics should be left out."""
    loss = metrics["loss"]
    bad = ~jnp.isfinite(loss) | ~jnp.isfinite(metrics.get("gradient_norm", loss))
    if spike:
        bad |= (watch.good >= SETTLED) & (loss > spike * watch.mean)
    return bad
