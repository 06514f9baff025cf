"""The state of a run between two steps: new, or restored from its newest checkpoint."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from full4d_jax.training.bad_losses import RunningLoss, from_json, no_losses, to_json
from full4d_jax.training.checkpoints import manager, resume
from full4d_jax.training.state import TrainState

# Of one step, plain numbers and lists.
Metrics = dict[str, Any]
Json = dict[str, Any]


@dataclass
class RunState:
    """A run between two steps: the content of a checkpoint, and the metrics read since.

    Attributes:
      state: parameters, averages, optimizer.
      losses: the running loss, by which bad steps are found.
      done: steps done, which is the position in the data.
      record: the config, weights, machine and versions of the run (`resume.run_record`).
      summary: the whole run, resumed parts included: samples, when it first began (since 1970),
        seconds of its processes and of the steps alone, summed histograms, and the losses at the
        checkpoints.
      window: metrics of the steps since the last line of `metrics.jsonl`.
      unsaved: losses of the good steps since the last checkpoint.
      pending: metrics on the devices of steps that are dispatched but not read.
    """

    state: TrainState
    losses: RunningLoss
    done: int
    record: Json
    summary: Json
    window: list[Metrics] = field(default_factory=list)
    unsaved: list[float] = field(default_factory=list)
    pending: list[Any] = field(default_factory=list)

    def stepped(self, metrics: Any, samples: int) -> None:
        """Take the metrics of the next step, which may still be running."""
        self.done += 1
        self.summary["samples"] += samples
        self.pending.append(metrics)

    def read(self, leave: int) -> list[tuple[int, Metrics]]:
        """Read the pending metrics but the newest `leave`; return the bad steps among them.

        They go into the window and the summary; bad steps are only counted.
        """
        first = self.done - len(self.pending) + 1
        ready = len(self.pending) - leave
        bad_steps = []
        for step, values in enumerate(jax.device_get(self.pending[:ready]), first):
            metrics = {name: x.tolist() for name, x in values.items()}
            if metrics["bad"]:
                self.summary["skipped"] = self.summary.get("skipped", 0) + 1
                self.window.append({"bad": metrics["bad"]})
                bad_steps.append((step, metrics))
                continue
            self.window.append(metrics)
            self.unsaved.append(metrics["loss"])
            for name in (k for k, x in metrics.items() if isinstance(x, list)):
                before = self.summary.get(name, 0.0)
                self.summary[name] = np.add(before, metrics[name]).tolist()
        self.pending = self.pending[ready:]
        return bad_steps

    def take_means(self) -> Json:
        """Return the step and the means over the window, and empty the window."""
        good = [metrics for metrics in self.window if not metrics["bad"]]
        skipped = len(self.window) - len(good)
        self.window = []
        means: Json = {"step": self.done}
        for name in [x for x in (good[0] if good else ()) if x != "bad"]:
            values = [metrics[name] for metrics in good]
            means[name] = np.round(np.mean(values, 0, dtype=np.float64), 6).tolist()
        return means | ({"skipped": skipped} if skipped else {})

    def save(self, checkpoints: manager.Checkpoints, means: Json) -> None:
        """Start saving everything; the summary keeps these means, without histograms."""
        numbers = {k: v for k, v in means.items() if not isinstance(v, list)}
        self.summary["history"] += [numbers] * bool(means)
        record = self.record | {
            "position": self.done,
            "watch": to_json(self.losses),
            "window": self.window,
            "summary": self.summary,
        }
        loss = float(np.mean(self.unsaved)) if self.unsaved else math.inf
        checkpoints.save(self.state, record, loss)
        self.unsaved = []


class InitialState(NamedTuple):
    """The state at step 0.

    Attributes:
      make: makes it; a run that resumes does not call this.
      like: its shapes, with shardings where it does not lie on the first device.
    """

    make: Callable[[], TrainState]
    like: TrainState


def start_at(state: TrainState) -> InitialState:
    """Return the start at a state that is made already."""
    return InitialState(lambda: state, jax.tree.map(manager.shape_and_sharding, state))


def start_or_resume(
    checkpoints: manager.Checkpoints, start: InitialState, record: Json, out: Path
) -> RunState:
    """Return the run at its newest usable checkpoint, or at its start if it has none.

    Raises:
      InputError: the checkpoints are of another run, or all damaged.
    """
    summary: Json = {"samples": 0, "seconds": 0.0, "step_seconds": 0.0}
    summary |= {"began": round(time.time(), 1), "parts": [], "history": []}
    losses = no_losses()
    window = []
    if checkpoints.latest is None:
        state = start.make()
    else:
        state, saved = checkpoints.restore(
            start.like,
            lambda saved, step: resume.check_same_run(saved, record, out, step),
        )
        resume.log_differences(saved, record)
        summary = saved["summary"]
        record = {**record, "init": saved["init"]}
        losses = from_json(saved["watch"])
        window = saved["window"]
        if jax.process_index() == 0:
            print(f"resuming {out} at step {int(state.step)}", flush=True)
    # A step commits what it returns to its devices. Its first arguments are committed as well, or
    # the second step would compile anew.
    state = jax.tree.map(lambda x: jax.device_put(x, x.sharding), state)
    losses = jax.device_put(losses, state.step.sharding)
    return RunState(state, losses, int(state.step), record, summary, window)
