"""A run between two steps, and how it begins: anew or from a checkpoint."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from full4d_jax.config import TrainingConfig
from full4d_jax.training.checkpoints.manager import Checkpoints, abstract
from full4d_jax.training.checkpoints.resume import check_same_run, tell_differences
from full4d_jax.training.state import TrainState
from full4d_jax.training.watch import Watch, first_watch, from_json, to_json

Metrics = dict[str, Any]  # of one step, plain numbers and lists


@dataclass
class Run:
    """What a checkpoint holds, and what has been read of the metrics since.

    done: steps done, which is the position in the data.
    record: says what the run is.
    summary: of all parts: samples, seconds, histograms, losses at the checkpoints.
    window: metrics of the steps since the last line of `metrics.jsonl`.
    losses: the good ones since the last checkpoint.
    """

    state: TrainState
    watch: Watch
    done: int
    record: dict[str, Any]
    summary: dict[str, Any]
    window: list[Metrics] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def add(self, metrics: Metrics) -> None:
        """Take the metrics of the next step, the bad ones' only as a count."""
        if metrics["bad"]:
            self.summary["skipped"] = self.summary.get("skipped", 0) + 1
            self.window.append({"bad": metrics["bad"]})
            return
        self.window.append(metrics)
        self.losses.append(metrics["loss"])
        for name in (k for k, x in metrics.items() if isinstance(x, list)):
            self.summary[name] = np.add(self.summary.get(name, 0.0), metrics[name]).tolist()

    def take_means(self) -> dict[str, Any]:
        """The step and means over the window, which then is empty; bad steps only count."""
        good = [metrics for metrics in self.window if not metrics["bad"]]
        skipped = len(self.window) - len(good)
        names = [name for name in (good[0] if good else ()) if name != "bad"]
        self.window = []
        means = {name: _mean([metrics[name] for metrics in good]) for name in names}
        means = {"step": self.done, **means}
        return means | ({"skipped": skipped} if skipped else {})

    def note(self, means: dict[str, Any]) -> None:
        """Keep the means at a checkpoint in the summary, without histograms."""
        if means:
            numbers = {k: v for k, v in means.items() if not isinstance(v, list)}
            self.summary["history"].append(numbers)

    def save(self, checkpoints: Checkpoints) -> None:
        """Start saving everything."""
        record = {
            **self.record,
            "position": self.done,
            "watch": to_json(self.watch),
            "window": self.window,
            "summary": self.summary,
        }
        loss = float(np.mean(self.losses)) if self.losses else math.inf
        checkpoints.save(self.state, record, loss)
        self.losses = []


def begin(
    checkpoints: Checkpoints,
    state: TrainState,
    record: dict[str, Any],
    config: TrainingConfig,
    out: Path,
) -> Run:
    """The run as its newest usable checkpoint has it, or at `state`.

    Raises:
      InputError: the checkpoints are of another run, or all damaged.
    """
    summary: dict[str, Any] = {"samples": 0, "seconds": 0.0, "parts": [], "history": []}
    watch, window = first_watch(), []
    if checkpoints.latest is not None:
        like = jax.tree.map(abstract, state)
        jax.tree.map(lambda x: x.delete(), state)  # there may be no room for two
        state, saved = checkpoints.restore(
            like, lambda saved, step: check_same_run(saved, record, out, step)
        )
        tell_differences(saved, record)
        # Earlier programs did not count samples, nor say which parts a run had.
        summary |= {"samples": int(state.step) * config.batch, **saved["summary"]}
        record = {**record, "init": saved.get("init", record.get("init"))}
        watch = from_json(saved["watch"]) if "watch" in saved else watch
        window = saved.get("window", [])
        if jax.process_index() == 0:
            print(f"resuming {out} at step {int(state.step)}", flush=True)
    watch = jax.device_put(watch, state.step.sharding)
    return Run(state, watch, int(state.step), record, summary, window)


def _mean(values: list[Any]) -> float | list[float]:
    return np.round(np.mean(values, 0, dtype=np.float64), 6).tolist()
