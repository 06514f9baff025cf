"""The training loop: resume, step, report, save."""

import itertools
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from full4d_jax.config import TrainingConfig
from full4d_jax.progress import Progress
from full4d_jax.training.checkpoints import Checkpoints
from full4d_jax.training.resume import check_same_run, cut_metrics
from full4d_jax.training.state import TrainState

Step = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


def run_training(
    step: Step,
    state: TrainState,
    batches: Callable[[int], Iterator[Any]],
    config: TrainingConfig,
    out: Path,
    record: dict[str, Any],
    given: Sequence[Any] = (),
) -> tuple[TrainState, dict[str, Any]]:
    """Train from the newest checkpoint under `out`, or from `state`, to `config.steps`.

    Args:
      step: (state, batch, *given) -> (state, metrics); jitted here, with the state donated.
        Metrics that are vectors are histograms, which the summary adds up over the whole run.
      state: the initial state.
      batches: gives the batches from a step on; the first axis of their arrays counts samples.
      config: length, log and checkpoint intervals.
      out: folder for `checkpoints/` and `metrics.jsonl`.
      record: what a checkpoint should say besides (`resume.run_record`).
      given: further arguments of every step, frozen weights for example.

    Returns:
      The final state and the summary of the whole run, resumed parts included.

    Raises:
      InputError: the checkpoints under `out` are of another run.
    """
    checkpoints = Checkpoints(out / "checkpoints", keep=config.keep)
    summary: dict[str, Any] = {"samples": 0, "seconds": 0.0, "parts": [], "history": []}
    if checkpoints.latest is not None:
        saved = checkpoints.record()
        check_same_run(saved, record, out, checkpoints.latest)
        state = checkpoints.restore(state)
        # Earlier programs did not count samples, nor say which parts a run had.
        summary |= {"samples": checkpoints.latest * config.batch, **saved["summary"]}
        record = {**record, "init": saved.get("init", record.get("init"))}
        print(f"resuming {out} at step {int(state.step)}")
    done, start, before = int(state.step), time.perf_counter(), summary["seconds"]
    cut_metrics(out / "metrics.jsonl", done)
    stream, jitted = batches(done), jax.jit(step, donate_argnums=0)
    if done < config.steps:
        summary["parts"].append({"start": done, "steps": config.steps, "hardware": hardware()})
        # Finish a batch before the step compiles: on one core XLA's compiler and a running program
        # may wait for each other forever.
        stream = itertools.chain([jax.block_until_ready(next(stream))], stream)
    pending, window, line = [], [], {}
    with Progress("training", config.steps) as report, (out / "metrics.jsonl").open("a") as log:
        while done < config.steps:
            batch = next(stream)
            state, metrics = jitted(state, batch, *given)
            pending.append(metrics)
            done += 1
            summary["samples"] += jax.tree.leaves(batch)[0].shape[0]
            is_last, is_logged = done == config.steps, done % config.log_every == 0
            is_saved = done % config.checkpoint_every == 0 or is_last
            # Else the metrics of step n - 1 are read while step n runs.
            ready = len(pending) - (0 if is_logged or is_saved else 1)
            read, pending = jax.device_get(pending[:ready]), pending[ready:]
            window += read
            _add_histograms(summary, read)
            if is_logged or is_last:
                line = {"step": done, **{k: _mean([m[k] for m in window]) for k in window[0]}}
                report(done, {k: v for k, v in line.items() if isinstance(v, float)})
                print(json.dumps(line), file=log, flush=True)
                window = []
            if is_saved:
                summary["seconds"] = round(before + time.perf_counter() - start, 1)
                if line:
                    losses = {k: v for k, v in line.items() if not isinstance(v, list)}
                    summary["history"].append(losses)
                    line = {}
                checkpoints.save(state, {**record, "summary": summary})
    checkpoints.close()
    return state, {"steps": done, **summary, **record}


def _add_histograms(summary: dict[str, Any], metrics: list[dict[str, np.ndarray]]) -> None:
    for step in metrics:
        for name in (k for k, x in step.items() if x.ndim):
            summary[name] = (np.asarray(summary.get(name, 0.0)) + step[name]).tolist()


def _mean(values: list[np.ndarray]) -> float | list[float]:
    return np.round(np.mean(values, 0, dtype=np.float64), 6).tolist()


def hardware() -> str:
    """The devices that jax runs on, in words."""
    machine = platform.processor() or platform.machine()
    return f"{jax.device_count()} x {jax.devices()[0].device_kind} on {machine}"
