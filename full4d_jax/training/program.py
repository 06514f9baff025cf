"""The program of a training step: what `train` runs and `inspect` compiles."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding

from full4d_jax.config import Config
from full4d_jax.training.bad_losses import RunningLoss, skip_bad_steps
from full4d_jax.training.state import TrainState

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


def jit_step(step: Step, state: TrainState, losses: RunningLoss, spike: float) -> Any:
    """Jit a step as `bad_losses` guards it.

    It maps (state, losses, batch, *frozen) to state, losses and metrics.

    Args:
      step: (state, batch, *frozen) -> (state, metrics).
      state: arrays, or their shapes, whose shardings the result keeps; the argument is donated.
      losses: the running loss, likewise.
      spike: see `skip_bad_steps`.
    """

    def sharding(x: Any) -> NamedSharding | None:
        return x.sharding if isinstance(x.sharding, NamedSharding) else None

    shardings = jax.tree.map(sharding, (state, losses))
    replicated = sharding(state.step)  # every process reads the metrics
    return jax.jit(
        skip_bad_steps(step, spike), donate_argnums=(0, 1), out_shardings=(*shardings, replicated)
    )


def runs_codec(config: Config) -> bool:
    """Return whether the step encodes or decodes, for which it takes the codec's weights."""
    return config.data.projections == 0 or config.flow.perceptual > 0
