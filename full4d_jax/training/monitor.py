"""Reports of a run: a line on stderr, `metrics.jsonl`, boards, the speed, and what holds it up.

Only the first of several processes writes. Times are wall times between two reports, saving and
sheets included, without validation and the first step, which compiles. What holds up the steps
is named: a process whose data does not come, by itself; one that all wait for, by the first.
"""

import contextlib
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jaxtyping import Float, UInt8

from full4d_jax.media.pictures import save_picture
from full4d_jax.session.progress import Progress
from full4d_jax.training.boards import open_boards
from full4d_jax.training.checkpoints.resume import cut_metrics
from full4d_jax.training.step_clock import StepClock
from input_pipeline.whole_files import make_own_folder, open_to_append, require_own

STALLED_SECONDS = 60.0  # data that takes no longer is not spoken of
STALLED_STEPS = 20  # nor data that takes no longer than so many steps
SLOW = 0.25  # share of a step that the others wait for a process before it is named
MAX_HOST_NAME = 64  # bytes


class Monitor:
    """Writes the reports of a run; a context.

    Args:
      out: the folder; lines of steps after `done` are dropped from its files.
      done: steps done before.
      steps: the last step.
      flops: of the model in one step, over all devices; None if they are not counted.
      peak: of one device, FLOP/s; None where it is unknown.
      began: when the run first began, seconds since 1970.
      busy: seconds that its steps took in earlier processes.
    """

    def __init__(
        self,
        out: Path,
        done: int,
        steps: int,
        flops: float | None,
        peak: float | None,
        began: float,
        busy: float,
    ):
        self.out = out
        self.flops = flops
        self.peak = peak
        self.began = began
        self.busy_before = busy
        self.is_first = jax.process_index() == 0
        self.is_compiled = False
        self.step_seconds = 0.0
        self.hosts = host_names()
        self.open = contextlib.ExitStack()
        self.clock = StepClock()
        self.open.callback(self.clock.close)
        self.start(done)
        if self.is_first:
            for name in ("metrics.jsonl", "bad_batches.jsonl", "tensorboard"):
                require_own(out / name)  # before any of them is opened
            for name in ("metrics.jsonl", "bad_batches.jsonl"):
                cut_metrics(out / name, done)
            self.progress = self.open.enter_context(Progress("training", steps))
            self.log = self.open.enter_context(
                os.fdopen(open_to_append(out / "metrics.jsonl"), "a")
            )
            self.boards = [self.open.enter_context(board) for board in open_boards(out, done)]
            self.say(mfu_basis(flops, peak))

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *error: Any) -> None:
        self.open.__exit__(*error)

    @contextlib.contextmanager
    def waiting(self, step: int) -> Iterator[None]:
        """Measure the time in this context as waiting for the data of a step."""
        start = time.perf_counter()
        patience = max(STALLED_SECONDS, STALLED_STEPS * self.step_seconds)
        alarm = threading.Timer(patience, self._say_stalled, (step, patience))
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
        self.waited += time.perf_counter() - start

    def _say_stalled(self, step: int, seconds: float) -> None:
        """Print, in any process, that the data of a step does not come."""
        host = self.hosts[jax.process_index()]
        usual = f"; a step takes {self.step_seconds:.3g} s" if self.step_seconds else ""
        print(f"{host}: step {step} has no data after {seconds:.3g} s{usual}", flush=True)

    def stepped(self, step: int, began: float, results: Any) -> None:
        """Note that a step is dispatched; the clock starts after the first of this process.

        Args:
          step: its number.
          began: when it was given to the devices, by `time.perf_counter`.
          results: arrays that are there when it ends.
        """
        if not self.is_compiled:
            self.is_compiled = True
            self.start(step)
            began = self.since
        self.clock.stepped(began, results)

    def start(self, step: int) -> None:
        """Restart the clock."""
        self.since = time.perf_counter()
        self.busy_since = self.clock.busy
        self.step = step
        self.waited = 0.0

    def step_seconds_of_run(self) -> float:
        """Return the seconds that steps took on the devices, earlier processes included."""
        return self.busy_before + self.clock.seconds()

    def report(self, means: dict[str, Any], speed: dict[str, float]) -> None:
        """Write `step` and the means of the metrics since the last report, and the speed.

        The clock starts anew, so that what is done between `speed` and this is in no speed.
        """
        step = means["step"]
        self.start(step)
        if self.is_first:
            numbers = {k: v for k, v in means.items() if isinstance(v, float)} | speed
            self.progress(step, {k: v for k, v in numbers.items() if "/tau_" not in k})
            print(json.dumps({**means, "speed": speed}), file=self.log, flush=True)
            for board in self.boards:
                board.scalars(step, numbers)

    def picture(self, step: int, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        """Write a contact sheet."""
        if self.is_first:
            path = make_own_folder(self.out / "sheets") / f"{step:07d}.png"
            save_picture(path, pixels)
            for board in self.boards:
                board.picture(step, "sheet", pixels)

    def say(self, text: str) -> None:
        """Print a line, in the first process only."""
        if self.is_first:
            print(text, flush=True)

    def speed(self, step: int) -> dict[str, float]:
        """Return memory in GiB and, since the last report, seconds per step, waiting and MFU.

        Times are missing if no step was measured; without a known peak TFLOP/s replace MFU. All
        processes call it together.
        """
        steps = step - self.step
        seconds = time.perf_counter() - self.since
        numbers = {"memory_gib": memory_gib()}
        numbers["goodput"] = self.step_seconds_of_run() / (time.time() - self.began)
        if steps > 0:
            self.step_seconds = seconds / steps
            busy = self.clock.seconds() - self.busy_since
            idle = max(0.0, 1 - busy / seconds)
            numbers["seconds_per_step"] = self.step_seconds
            numbers["data_wait"] = self.waited / seconds
            numbers["idle"] = self._slowest(step, idle)
            if self.flops is not None:
                rate = self.flops * steps / seconds
                if self.peak is None:
                    numbers["tflops"] = rate / 1e12
                else:
                    numbers["mfu"] = rate / (self.peak * jax.device_count())
        return {name: float(f"{value:.4g}") for name, value in numbers.items()}

    def _slowest(self, step: int, idle: float) -> float:
        """Return the largest idle share of all processes, and name its process if others wait."""
        if len(self.hosts) == 1:
            return idle
        shares = process_allgather(np.float32(idle)).reshape(-1)
        text = slow_process(shares, self.step_seconds, self.hosts)
        if text:
            self.say(f"step {step}: {text}")
        return float(shares.max())


def slow_process(idle: Float[np.ndarray, "p"], seconds: float, hosts: list[str]) -> str:
    """Return a line that names the process which the others wait for, or nothing.

    Args:
      idle: share of the time in which each process has no step on its devices.
      seconds: of a step.
      hosts: names of the processes.
    """
    slowest = int(idle.argmax())
    most = float(idle.max())
    least = float(idle.min())
    if most - least < SLOW:
        return ""
    return (
        f"all wait for {hosts[slowest]}, whose devices have no step for {most * seconds:.3g} s of "
        f"the {seconds:.3g} s a step; those of the quickest process, for {least * seconds:.3g} s"
    )


def host_names() -> list[str]:
    """Return a name for each process; all processes call it together."""
    if jax.process_count() == 1:
        return [socket.gethostname()]
    own = socket.gethostname().encode()[:MAX_HOST_NAME].ljust(MAX_HOST_NAME, b"\0")
    names = process_allgather(np.frombuffer(own, np.uint8))
    hosts = [bytes(name).rstrip(b"\0").decode() for name in names]
    return [f"process {i} ({host})" for i, host in enumerate(hosts)]


def mfu_basis(flops: float | None, peak: float | None) -> str:
    """Return a line that says what MFU is relative to."""
    if flops is None:
        return "MFU is not shown: this network's operations are not counted"
    count = f"a step has {flops / 1e12:.4g} TFLOP (allowed attention pairs, no rematerialisation)"
    if peak is None:
        return f"{count}; no peak is known for {jax.devices()[0].device_kind}: TFLOP/s, not MFU"
    kind = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    return f"{count}; MFU is relative to {peak / 1e12:.4g} TFLOP/s of each of {kind}"


def memory_gib() -> float:
    """Return the peak of this process's fullest device, or of the process itself, in GiB."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [x["peak_bytes_in_use"] for x in stats if "peak_bytes_in_use" in x]
    most = max(peaks) if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return most / 2**30
