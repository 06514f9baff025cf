"""What happens to a run when the loss of a step was bad (`watch` says when)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from full4d_jax.config import TrainingConfig
from full4d_jax.session.errors import InputError
from full4d_jax.training.monitor import Monitor
from full4d_jax.training.run import Run
from full4d_jax.training.watch import to_json

FILE = "bad_batches.jsonl"
MOST_IN_A_ROW = 20  # bad steps that are skipped; a run that has nothing else does not go on


def meet_bad_loss(
    run: Run,
    monitor: Monitor,
    config: TrainingConfig,
    out: Path,
    step: int,
    metrics: dict[str, Any],
    contents: Callable[[int], Any],
) -> None:
    """Write down what the batch of `step` was made of, and stop if the policy says so.

    Nothing is saved then: the newest checkpoint is from before the bad step.

    Raises:
      InputError: `config.on_bad_loss` is to stop, or too many steps in a row were bad.
    """
    loss, mean = float(metrics["loss"]), to_json(run.watch)["mean"]
    line = {
        "step": step,
        "position": step - 1,
        "loss": str(loss),  # JSON has no word for NaN
        "running_mean": mean,
        "batch": contents(step - 1),
    }
    if jax.process_index() == 0:
        with (out / FILE).open("a") as file:
            print(json.dumps(line), file=file)
    if config.on_bad_loss == "skip" and metrics["bad"] < MOST_IN_A_ROW:
        monitor.say(f"step {step}: loss {loss:.4g}, left out; its batch is in {out / FILE}")
        return
    expected = "a finite loss"
    if config.spike:
        expected += f" of at most {config.spike:g} times its running mean {mean:.4g}"
    do = f"look at its batch in {out / FILE}, then go on with --training.on_bad_loss skip"
    if config.on_bad_loss == "skip":
        expected, do = f"{expected}, after {MOST_IN_A_ROW - 1} others", "lower the learning rates"
    raise InputError("training", f"{out}, step {step}", f"loss {loss:.4g}", expected, do)
