"""Reports of a run: a line on stderr, `metrics.jsonl`, TensorBoard, and the speed.

Only the first of several processes writes. Times are wall times between two reports, saving and
sheets included, without the first step, which compiles.
"""

import contextlib
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jaxtyping import UInt8

from full4d_jax.media.pictures import save_picture
from full4d_jax.session.progress import Progress
from full4d_jax.training.checkpoints.resume import cut_metrics
from input_pipeline.opening import make_own_folder, open_to_append, require_own


class Monitor:
    """Writes the reports of a run; a context.

    Args:
      out: the folder; lines of steps after `done` are dropped from its files.
      done: steps done before.
      steps: the last step.
      flops: of the model in one step, over all devices; None if they are not counted.
      peak: of one device, FLOP/s; None where it is unknown.
    """

    def __init__(self, out: Path, done: int, steps: int, flops: float | None, peak: float | None):
        self.out = out
        self.flops = flops
        self.peak = peak
        self.is_first = jax.process_index() == 0
        self.is_compiled = False
        self.open = contextlib.ExitStack()
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
            self.board = self.open.enter_context(Board(out / "tensorboard", done))
            self.say(mfu_basis(flops, peak))

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *error: Any) -> None:
        self.open.__exit__(*error)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure the time in this context as waiting for data."""
        start = time.perf_counter()
        yield
        self.waited += time.perf_counter() - start

    def stepped(self, step: int) -> None:
        """Note that a step is dispatched; the clock starts after the first of this process."""
        if not self.is_compiled:
            self.is_compiled = True
            self.start(step)

    def start(self, step: int) -> None:
        """Restart the clock."""
        self.since = time.perf_counter()
        self.step = step
        self.waited = 0.0

    def report(self, means: dict[str, Any]) -> None:
        """Write `step` and the means of the metrics since the last report, and the speed."""
        step = means["step"]
        speed = self.speed(step)
        self.start(step)
        if self.is_first:
            numbers = {k: v for k, v in means.items() if isinstance(v, float)} | speed
            self.progress(step, numbers)
            print(json.dumps({**means, "speed": speed}), file=self.log, flush=True)
            self.board.scalars(step, numbers)

    def picture(self, step: int, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        """Write a contact sheet."""
        if self.is_first:
            path = make_own_folder(self.out / "sheets") / f"{step:07d}.png"
            save_picture(path, pixels)
            self.board.picture(step, "sheet", pixels)

    def say(self, text: str) -> None:
        """Print a line, in the first process only."""
        if self.is_first:
            print(text, flush=True)

    def speed(self, step: int) -> dict[str, float]:
        """Return memory in GiB and, since the last report, seconds per step, data wait and MFU.

        Times are missing if no step was measured; without a known peak TFLOP/s replace MFU.
        """
        steps = step - self.step
        seconds = time.perf_counter() - self.since
        numbers = {"memory_gib": memory_gib()}
        if steps > 0:
            numbers["seconds_per_step"] = seconds / steps
            numbers["data_wait"] = self.waited / seconds
            if self.flops is not None:
                rate = self.flops * steps / seconds
                if self.peak is None:
                    numbers["tflops"] = rate / 1e12
                else:
                    numbers["mfu"] = rate / (self.peak * jax.device_count())
        return {name: float(f"{value:.4g}") for name, value in numbers.items()}


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


class Board:
    """TensorBoard's event files, written immediately, so that disk errors are raised in place.

    Args:
      folder: where they lie.
      done: TensorBoard hides events after this step that an earlier process wrote.
    """

    def __init__(self, folder: Path, done: int):
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self.summary = summary
        self.protocol = cast(Any, event_pb2)
        make_own_folder(folder)
        self.writer = event_file_writer.EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        self._write(self.protocol.Event(step=done + 1, session_log={"status": "START"}))

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in values.items():
            self._write(self.protocol.Event(step=step, summary=self.summary.scalar(name, value)))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Write a picture."""
        summary = self.summary.image(name, pixels, dataformats="HWC")
        self._write(self.protocol.Event(step=step, summary=summary))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self.writer.write_event(event)
        self.writer.flush()
