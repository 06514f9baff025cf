"""The training loop of any network: resume, step, report, save.

It ends early at SIGTERM, which schedulers send before they take a machine back, and at SIGHUP, as
terminals send it.
"""

import contextlib
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jax.experimental.multihost_utils import reached_preemption_sync_point

from full4d_jax.config import TrainingConfig
from full4d_jax.geometry.arrays import Picture
from full4d_jax.models.functional import Params
from full4d_jax.session.machine import ENDING, disk_errors
from full4d_jax.training.bad_losses import Step, jit_step, record_bad_step
from full4d_jax.training.checkpoints import manager, resume
from full4d_jax.training.monitor import Monitor
from full4d_jax.training.run_state import InitialState, RunState, start_or_resume
from full4d_jax.training.state import TrainState
from input_pipeline.whole_files import require_own

# Of a training that saved before its end: the same command resumes.
STOPPED_EXIT_CODE = 75


@dataclass(frozen=True)
class Reporting:
    """The reports of a run besides its losses.

    Attributes:
      flops: of the model in one step; 0 for a network whose operations are not counted.
      peak: of one device, FLOP/s; None where it is unknown.
      sheet: draws a contact sheet from averaged parameters.
      validate: measures losses by name, from the same.
      contents: names what the batch at a position in the data holds, in plain values.
      profile: the first and the last step of a trace.
    """

    flops: float = 0.0
    peak: float | None = None
    sheet: Callable[[Params], Picture] | None = None
    validate: Callable[[Params], dict[str, float]] | None = None
    contents: Callable[[int], Any] = lambda position: position
    profile: tuple[int, int] | None = None


def run_training(
    step: Step,
    start: InitialState,
    batches: Callable[[int], Iterator[Any]],
    config: TrainingConfig,
    out: Path,
    record: dict[str, Any],
    frozen: Sequence[Any] = (),
    reporting: Reporting = Reporting(),
) -> tuple[TrainState, dict[str, Any]]:
    """Train from the newest checkpoint under `out`, or from the start, to `config.steps`.

    Args:
      step: (state, batch, *frozen) -> (state, metrics); jitted here, with the state donated.
        Metrics that are vectors are histograms, which the summary adds up over the whole run.
      start: the initial state, sharded or not; its buffers are used up.
      batches: gives the batches from a step on, on the devices; the first axis of their arrays
        counts samples.
      config: length, intervals, and the policy for bad losses.
      out: folder for everything that is written.
      record: describes the run in each checkpoint (`resume.run_record`).
      frozen: further arguments of every step, on the devices: weights that are not trained.
      reporting: what else the run reports.

    Returns:
      The final state and the summary of the whole run, resumed parts included, without paths of
      this machine.

    Raises:
      InputError: the checkpoints are of another run or all damaged, nothing can be written, or a
        loss is bad and `config.on_bad_loss` says to stop.
      SystemExit: `STOPPED_EXIT_CODE`, after SIGTERM, when everything is saved.
    """
    own = out / "checkpoints"
    require_own(own)
    folder = config.checkpoints or own
    limits = {"keep": config.keep, "keep_best": config.keep_best}
    with disk_errors(out), manager.Checkpoints(folder, **limits) as checkpoints:
        run = start_or_resume(checkpoints, start, record, out)
        if run.done < config.steps:
            part = {
                "start": run.done,
                "steps": config.steps,
                "hardware": resume.hardware(),
            }
            run.summary["parts"].append(part)
            _train(run, step, batches, config, out, frozen, reporting, checkpoints)
    summary = {"steps": run.done, **run.summary, **run.record}
    return run.state, resume.without_machine_paths(summary)


def _train(
    run: RunState,
    step: Step,
    batches: Callable[[int], Iterator[Any]],
    config: TrainingConfig,
    out: Path,
    frozen: Sequence[Any],
    reporting: Reporting,
    checkpoints: manager.Checkpoints,
) -> None:
    """Do all steps that are left."""
    start = time.perf_counter()
    before = run.summary["seconds"]
    begun = run.done
    stream = batches(begun)
    jitted = jit_step(step, run.state, run.losses, config)
    means: dict[str, Any] = {}

    def is_due(every: int) -> bool:
        return every > 0 and run.done % every == 0

    with (
        Monitor(
            out, begun, config.steps, reporting.flops, reporting.peak, run.summary
        ) as monitor,
        profiled(reporting.profile, begun, out / "profile") as profile,
        termination() as is_asked_to_stop,
    ):
        profile(begun, run.state)
        while run.done < config.steps:
            with monitor.waiting(run.done + 1):
                batch = next(stream)
                if run.done == begun:
                    # Finish a batch before the step compiles: on one core XLA's compiler and a
                    # running program may wait for each other forever.
                    jax.block_until_ready(batch)
            with jax.transfer_guard("disallow"):
                run.state, run.losses, metrics = jitted(
                    run.state, run.losses, batch, *frozen
                )
            run.stepped(metrics, samples=jax.tree.leaves(batch)[0].shape[0])
            profile(run.done, run.state)
            if run.done == begun + 1:
                # The first step compiles.
                monitor.start(run.done)

            is_stopped = is_asked_to_stop(run.done)
            is_last = run.done == config.steps
            every = config.validate_every
            validates = is_due(every) or (is_last and every > 0)
            logs = is_last or validates or is_due(config.log_every)
            saves = is_last or is_stopped or is_due(config.checkpoint_every)
            # Unless they are needed now, the metrics of step n - 1 are read while step n runs.
            for at, values in run.read(leave=0 if logs or saves else 1):
                contents = reporting.contents(at - 1)
                line = record_bad_step(config, out, at, values, run.losses, contents)
                monitor.say(line)
            if logs:
                means = run.take_means()
                speed = monitor.speed(run.done)
                if validates and reporting.validate is not None:
                    means |= reporting.validate(run.state.ema)
                monitor.report(means, speed)
            if saves:
                run.summary["seconds"] = round(before + time.perf_counter() - start, 1)
                run.summary["step_seconds"] = round(monitor.step_seconds_of_run(), 1)
                run.save(checkpoints, means)
                means = {}
            if (
                is_due(config.sheet_every)
                and not is_last
                and reporting.sheet is not None
            ):
                monitor.sheet(run.done, reporting.sheet(run.state.ema))
            if is_stopped and not is_last:
                checkpoints.close()
                monitor.say(
                    f"saved at step {run.done}; resume with: {resume_command()}"
                )
                raise SystemExit(STOPPED_EXIT_CODE)


@contextlib.contextmanager
def termination() -> Iterator[Callable[[int], bool]]:
    """Yield a function of the step, to be called after it: whether to save now and stop.

    Several processes get their signals at different steps. They agree on one step through
    `jax.distributed`, whose own handler receives the signal once it is initialized.
    """
    if jax.distributed.is_initialized():
        yield reached_preemption_sync_point
    elif threading.current_thread() is not threading.main_thread():
        # Others may not set handlers.
        yield lambda _: False
    else:
        stopped = threading.Event()
        before = {number: signal.getsignal(number) for number in ENDING}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                # As under nohup.
                signal.signal(number, lambda *_: stopped.set())
        try:
            yield lambda _: stopped.is_set()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def profiled(
    steps: tuple[int, int] | None, done: int, folder: Path
) -> Iterator[Callable[[int, Any], None]]:
    """Trace some steps of a run into a folder (`--profile A:B`).

    Yields a function of the steps that are done and the state that they gave, to be called between
    two steps.

    Args:
      steps: the first and the last step; None traces nothing. A run that is past the first of them,
        since the same command resumes it, says so and traces nothing.
      done: steps done before.
      folder: where the trace is written.
    """
    first, last = steps or (0, 0)
    if steps is not None and first <= done:
        print(f"no profile: --profile begins at {first}, the run after step {done}")

    def after_step(done: int, state: Any) -> None:
        if done in (first - 1, last):
            jax.block_until_ready(state)
        if done == first - 1:
            trace.callback(
                print,
                f"wrote a profile into {folder}; look at it with: pip install xprof && "
                f"xprof --logdir {folder}, or open its trace.json.gz in ui.perfetto.dev",
            )
            trace.enter_context(jax.profiler.trace(folder))
        elif done == last:
            trace.close()

    with contextlib.ExitStack() as trace:
        yield after_step


def resume_command() -> str:
    """Return the command that started this process; given again, it resumes the run."""
    is_ours = Path(sys.argv[0]).name == "full4d"
    return shlex.join(["full4d", *sys.argv[1:]] if is_ours else sys.orig_argv)
