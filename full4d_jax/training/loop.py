"""The training loop: resume, step, report, save."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import UInt8

from full4d_jax.config import TrainingConfig
from full4d_jax.training.bad_losses import meet_bad_loss
from full4d_jax.training.checkpoints.disk import disk_errors
from full4d_jax.training.checkpoints.manager import Checkpoints
from full4d_jax.training.checkpoints.provenance import hardware
from full4d_jax.training.interruption import resume_command, termination
from full4d_jax.training.monitor import Monitor
from full4d_jax.training.profiling import StepProfile, steps_left
from full4d_jax.training.run import Run, begin
from full4d_jax.training.state import TrainState
from full4d_jax.training.watch import watched

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


@dataclass(frozen=True)
class Reporting:
    """What a run may tell besides its losses.

    flops: of the model in one step; None where nobody counts them.
    peak: of one device, FLOP/s; None where it is unknown.
    sheet: draws what the network of a state makes.
    contents: what the batch at a position in the data is made of, in plain values.
    profile: the first and the last step of a trace.
    """

    flops: float | None = None
    peak: float | None = None
    sheet: Callable[[TrainState], UInt8[np.ndarray, "H W 3"]] | None = None
    contents: Callable[[int], Any] = lambda position: position
    profile: tuple[int, int] | None = None


def run_training(
    step: Step,
    state: TrainState,
    batches: Callable[[int], Iterator[Any]],
    config: TrainingConfig,
    out: Path,
    record: dict[str, Any],
    given: Sequence[Any] = (),
    reporting: Reporting = Reporting(),
) -> tuple[TrainState, dict[str, Any]]:
    """Train from the newest checkpoint under `out`, or from `state`, to `config.steps`.

    Args:
      step: (state, batch, *given) -> (state, metrics); jitted here, with the state donated.
        Metrics that are vectors are histograms, which the summary adds up over the whole run.
      state: the initial state, sharded or not; its buffers are used up.
      batches: gives the batches from a step on, on the devices; the first axis of their arrays
        counts samples.
      config: length, intervals, what happens to bad losses.
      out: folder for everything that is written.
      record: what a checkpoint should say besides (`resume.run_record`).
      given: further arguments of every step on the devices, frozen weights for example.
      reporting: see there.

    Returns:
      The final state and the summary of the whole run, resumed parts included.

    Raises:
      InputError: the checkpoints are of another run or all damaged, nothing can be written, or a
        loss is bad and `config.on_bad_loss` says to stop.
      SystemExit: 0, after SIGTERM, when everything is saved.
    """
    folder = config.checkpoints or out / "checkpoints"
    with (
        disk_errors(out),
        Checkpoints(folder, keep=config.keep, keep_best=config.keep_best) as checkpoints,
    ):
        run = begin(checkpoints, state, record, config, out)
        if run.done < config.steps:
            part = {"start": run.done, "steps": config.steps, "hardware": hardware()}
            run.summary["parts"].append(part)
            _train(run, step, batches, config, out, given, reporting, checkpoints)
    return run.state, {"steps": run.done, **run.summary, **run.record}


def _train(
    run: Run,
    step: Step,
    batches: Callable[[int], Iterator[Any]],
    config: TrainingConfig,
    out: Path,
    given: Sequence[Any],
    reporting: Reporting,
    checkpoints: Checkpoints,
) -> None:
    """All steps that are left."""
    start, before = time.perf_counter(), run.summary["seconds"]
    stream = batches(run.done)
    # Finish a batch before the step compiles: on one core XLA's compiler and a running program
    # may wait for each other forever.
    stream = itertools.chain([jax.block_until_ready(next(stream))], stream)
    jitted = jax.jit(
        watched(step, config.spike),
        donate_argnums=(0, 1),
        out_shardings=(
            *jax.tree.map(_kept_sharding, (run.state, run.watch)),
            _kept_sharding(run.state.step),  # metrics: whole on every process, which reads them
        ),
    )
    pending: list[Any] = []
    means: dict[str, Any] = {}
    with (
        Monitor(out, run.done, config.steps, reporting.flops, reporting.peak) as monitor,
        StepProfile(steps_left(reporting.profile, run.done), out / "profile") as profile,
        termination() as is_asked_to_stop,
    ):
        while run.done < config.steps:
            with monitor.waiting():
                batch = next(stream)
            profile.begin(run.done + 1, run.state)
            with jax.transfer_guard("disallow"):
                run.state, run.watch, metrics = jitted(run.state, run.watch, batch, *given)
            run.done += 1
            profile.end(run.done, run.state)
            monitor.stepped(run.done)
            run.summary["samples"] += jax.tree.leaves(batch)[0].shape[0]

            is_last, is_stopped = run.done == config.steps, is_asked_to_stop(run.done)
            is_logged = is_last or run.done % config.log_every == 0
            is_saved = is_last or is_stopped or run.done % config.checkpoint_every == 0
            pending.append(metrics)
            # Else the metrics of step n - 1 are read while step n runs.
            ready = len(pending) - (0 if is_logged or is_saved else 1)
            for i, values in enumerate(jax.device_get(pending[:ready])):
                run.add({name: x.tolist() for name, x in values.items()})
                if values["bad"]:
                    at = run.done - len(pending) + 1 + i
                    meet_bad_loss(run, monitor, config, out, at, values, reporting.contents)
            pending = pending[ready:]
            if is_logged:
                means = run.take_means()
                monitor.report(means)
            if is_saved:
                run.summary["seconds"] = round(before + time.perf_counter() - start, 1)
                run.note(means)
                means = {}
                run.save(checkpoints)
            is_drawn = config.sheet_every and run.done % config.sheet_every == 0 and not is_last
            if reporting.sheet is not None and is_drawn:
                monitor.picture(run.done, reporting.sheet(run.state))
            if is_stopped and not is_last:
                checkpoints.close()
                monitor.say(f"saved at step {run.done}; go on with: {resume_command()}")
                raise SystemExit(0)


def _kept_sharding(x: jax.Array) -> NamedSharding | None:
    """That of an array on a mesh, so that the next step finds it as the first did."""
    return x.sharding if isinstance(x.sharding, NamedSharding) else None
