"""Bad losses: a step whose loss is not finite, or far above its running mean, changes nothing.

The decision is made inside the jitted step, from the state, the running loss and the batch alone,
so a resumed run decides alike. The step still counts, so that the position in the data remains the
number of steps; the optimizer's own count, and with it the learning rate, stays.
"""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Int

from full4d_jax.config import TrainingConfig
from full4d_jax.session.errors import InputError
from full4d_jax.training.state import TrainState
from input_pipeline.whole_files import open_to_append

# Good steps before a loss can be compared with their mean.
SETTLED_STEPS = 10
FILE = "bad_batches.jsonl"
# A run stops at this many bad steps in a row, whatever the policy.
MOST_IN_A_ROW = 20

Metrics = dict[str, Float[Array, "..."]]
Step = Callable[..., tuple[TrainState, Metrics]]


class RunningLoss(NamedTuple):
    """The losses so far; part of a checkpoint.

    Attributes:
      mean: running mean of the losses of good steps.
      good: number of good steps.
      in_a_row: number of bad steps since the last good one.
    """

    mean: Float[Array, ""]
    good: Int[Array, ""]
    in_a_row: Int[Array, ""]


def no_losses() -> RunningLoss:
    """Return the running loss before the first step."""
    return RunningLoss(
        jnp.zeros(()), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    )


def to_json(losses: RunningLoss) -> dict[str, float | int]:
    """Return plain numbers that `from_json` turns back into the same bits."""
    return {name: x.item() for name, x in jax.device_get(losses)._asdict().items()}


def from_json(saved: dict[str, Any]) -> RunningLoss:
    """Return the running loss that `to_json` wrote."""
    like = no_losses()
    stored = RunningLoss(**saved)
    return jax.tree.map(lambda x, n: jnp.asarray(n, x.dtype), like, stored)


def jit_step(
    step: Step, state: TrainState, losses: RunningLoss, config: TrainingConfig
) -> Any:
    """Jit a step in which bad losses change nothing.

    It maps (state, losses, batch, *frozen) to state, losses and metrics, which gain `bad`: the
    number of consecutive skipped steps; 0 if this step was kept.

    Args:
      step: (state, batch, *frozen) -> (state, metrics); `loss` decides, and `gradient_norm` where
        the metrics have it.
      state: arrays, or their shapes, whose shardings the result keeps; the argument is donated.
      losses: the running loss, likewise.
      config: `spike` is the largest loss in running means; 0 keeps any finite loss.
    """
    spike = config.spike

    def guarded(state: TrainState, losses: RunningLoss, batch: Any, *frozen: Any):
        after, metrics = step(state, batch, *frozen)
        loss = metrics["loss"]
        bad = ~jnp.isfinite(loss) | ~jnp.isfinite(metrics.get("gradient_norm", loss))
        if spike:
            bad |= (losses.good >= SETTLED_STEPS) & (loss > spike * losses.mean)
        steps_of_mean = jnp.minimum(losses.good + 1, 100)
        weight = 1 / steps_of_mean.astype(jnp.float32)
        mean = losses.mean + weight * (loss - losses.mean)
        good = RunningLoss(mean, losses.good + 1, 0 * bad)
        bad_losses = losses._replace(in_a_row=losses.in_a_row + 1)
        before = state._replace(step=after.step), bad_losses
        kept = jax.tree.map(lambda x, y: jnp.where(bad, x, y), before, (after, good))
        return *kept, {**metrics, "bad": kept[1].in_a_row}

    def sharding(x: Any) -> NamedSharding | None:
        return x.sharding if isinstance(x.sharding, NamedSharding) else None

    # Every process reads the metrics.
    shardings = *jax.tree.map(sharding, (state, losses)), sharding(state.step)
    return jax.jit(
        guarded,
        donate_argnums=(0, 1),
        out_shardings=shardings,
        compiler_options=config.compiler_options,
    )


def record_bad_step(
    config: TrainingConfig,
    out: Path,
    step: int,
    metrics: dict[str, Any],
    losses: RunningLoss,
    batch: Any,
) -> str:
    """Write the batch of a bad step to `bad_batches.jsonl`; return a line about it, or stop.

    The batch is what it holds, in plain values.
    A run that stops here saves nothing: its newest checkpoint is from before the bad step.

    Raises:
      InputError: `config.on_bad_loss` says to stop, or too many steps in a row were bad.
    """
    loss = metrics["loss"]
    mean = float(losses.mean)
    bad = f"loss {loss:.4g}"
    expected = "a finite loss"
    norm = metrics.get("gradient_norm", loss)
    if math.isfinite(loss) and not math.isfinite(norm):
        bad += f", gradient norm {norm:.4g}"
        expected = "finite gradients"
    elif config.spike:
        expected += f" of at most {config.spike:g} times its running mean {mean:.4g}"
    line = {
        "step": step,
        "position": step - 1,
        # JSON has no word for NaN.
        "loss": str(loss),
        "running_mean": mean,
        "batch": batch,
    }
    if jax.process_index() == 0:
        with os.fdopen(open_to_append(out / FILE), "a") as file:
            print(json.dumps(line), file=file)
    if config.on_bad_loss == "skip" and metrics["bad"] < MOST_IN_A_ROW:
        return f"step {step}: {bad}, skipped; its batch is in {out / FILE}"
    do = f"look at its batch in {out / FILE}, then resume with --training.on_bad_loss skip"
    if config.on_bad_loss == "skip":
        expected = f"{expected}, after {MOST_IN_A_ROW - 1} others"
        do = "lower the learning rates"
    raise InputError("training", f"{out}, step {step}", bad, expected, do)
