"""Reports of a run: a line on stderr, `metrics.jsonl`, boards, speed and bottlenecks.

Only the first of several processes writes. Times are wall times between two reports, saving and
sheets included, without validation and the first step, which compiles. A process whose data does
not come is named by itself, one whose data all wait for by the first.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather
from jaxtyping import Float

from full4d_jax.geometry.arrays import Picture
from full4d_jax.media.pictures import save_picture
from full4d_jax.session.progress import Progress
from full4d_jax.training.checkpoints.resume import cut_metrics
from input_pipeline.whole_files import make_own_folder, open_to_append, require_own

# Data that takes no longer than one of these is not spoken of.
STALLED_SECONDS = 60.0
STALLED_STEPS = 20
# Of the environment; without it nothing leaves the machine.
WANDB_PROJECT = "WANDB_PROJECT"


class Monitor(contextlib.ExitStack):
    """Writes the reports of a run; a context, which closes its files.

    Args:
      out: the folder; lines of steps after `done` are dropped from its files.
      done: steps done before.
      steps: the last step.
      flops: of the model in one step, over all devices; 0 if they are not counted.
      peak: of one device, FLOP/s; None where it is unknown.
      summary: of the run: when it first `began`, seconds since 1970, and the `step_seconds` of
        earlier processes.
    """

    def __init__(
        self,
        out: Path,
        done: int,
        steps: int,
        flops: float,
        peak: float | None,
        summary: dict[str, Any],
    ):
        super().__init__()
        self.out = out
        self.flops = flops
        self.peak = peak
        self.began = summary["began"]
        self.busy = summary["step_seconds"]
        self.is_first = jax.process_index() == 0
        self.step_seconds = 0.0
        self.hosts = host_names()
        self.start(done)
        if self.is_first:
            files = out / "metrics.jsonl", out / "bad_batches.jsonl"
            for path in (*files, out / "tensorboard"):
                # This comes before any of them is opened.
                require_own(path)
            for path in files:
                cut_metrics(path, done)
            self.progress = self.enter_context(Progress("training", steps))
            self.log = self.enter_context(os.fdopen(open_to_append(files[0]), "a"))
            self.boards = open_boards(out, done)
            for board in self.boards:
                self.push(board.end)
            self.say(mfu_basis(flops, peak))

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
        """Print, in any process, that the data of a step is late."""
        host = self.hosts[jax.process_index()]
        usual = f"; a step takes {self.step_seconds:.3g} s" if self.step_seconds else ""
        line = f"{host}: step {step} has no data after {seconds:.3g} s{usual}"
        print(line, flush=True)

    def start(self, step: int) -> None:
        """Restart the clock after a step."""
        self.since = time.perf_counter()
        self.step = step
        self.waited = 0.0

    def step_seconds_of_run(self) -> float:
        """Return the seconds in steps, not waiting for data, earlier processes included."""
        now = time.perf_counter() - self.since - self.waited
        return self.busy + max(0.0, now)

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

    def sheet(self, step: int, pixels: Picture) -> None:
        """Write a contact sheet."""
        if self.is_first:
            path = make_own_folder(self.out / "sheets") / f"{step:07d}.png"
            save_picture(path, pixels)
            for board in self.boards:
                board.sheet(step, pixels)

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
        self.busy = self.step_seconds_of_run()
        goodput = self.busy / (time.time() - self.began)
        numbers = {"memory_gib": memory_gib(), "goodput": goodput}
        if steps > 0:
            self.step_seconds = seconds / steps
            numbers["seconds_per_step"] = self.step_seconds
            numbers["data_wait"] = self._longest_wait(step, self.waited / seconds)
            rate = self.flops * steps / seconds
            if self.peak is None:
                numbers["tflops"] = rate / 1e12
            else:
                numbers["mfu"] = rate / (self.peak * jax.device_count())
        self.start(step)
        return {name: float(f"{value:.4g}") for name, value in numbers.items()}

    def _longest_wait(self, step: int, share: float) -> float:
        """Return the largest share of all processes, and name its process if others wait."""
        if len(self.hosts) == 1:
            return share
        shares = process_allgather(np.float32(share)).reshape(-1)
        if text := slow_process(shares, self.step_seconds, self.hosts):
            self.say(f"step {step}: {text}")
        return float(shares.max())


def slow_process(
    waits: Float[np.ndarray, "p"], seconds: float, hosts: list[str]
) -> str:
    """Return a line that names the process whose data the others wait for, or nothing.

    Args:
      waits: share of the time in which each process waits for its data.
      seconds: of a step.
      hosts: names of the processes.
    """
    slowest = int(waits.argmax())
    most = float(waits.max())
    least = float(waits.min())
    least_difference = 0.25
    if most - least < least_difference:
        return ""
    return (
        f"all wait for {hosts[slowest]}, whose data takes {most * seconds:.3g} s of the "
        f"{seconds:.3g} s a step; that of the quickest process, {least * seconds:.3g} s"
    )


def host_names() -> list[str]:
    """Return a name for each process; all processes call it together."""
    if jax.process_count() == 1:
        return [socket.gethostname()]
    # Bytes.
    longest_name = 64
    own = socket.gethostname().encode()[:longest_name].ljust(longest_name, b"\0")
    names = process_allgather(np.frombuffer(own, np.uint8))
    hosts = [bytes(name).rstrip(b"\0").decode() for name in names]
    return [f"process {i} ({host})" for i, host in enumerate(hosts)]


def mfu_basis(flops: float, peak: float | None) -> str:
    """Return a line that says what MFU is relative to."""
    count = f"a step has {flops / 1e12:.4g} TFLOP (allowed attention pairs, no rematerialisation)"
    kind = jax.devices()[0].device_kind
    if peak is None:
        return f"{count}; no peak is known for {kind}: TFLOP/s, not MFU"
    rate = f"{peak / 1e12:.4g} TFLOP/s of each of {jax.device_count()} x {kind}"
    return f"{count}; MFU is relative to {rate}"


def memory_gib() -> float:
    """Return the peak of this process's fullest device, or of the process itself, in GiB."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [x["peak_bytes_in_use"] for x in stats if "peak_bytes_in_use" in x]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return max(peaks, default=own) / 2**30


class TensorBoard:
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
        name = str(folder / "events")
        self.writer = event_file_writer.EventsWriter(name, f".{time.time_ns()}")
        self._write(done + 1, session_log={"status": "START"})

    def end(self, *_: object) -> None:
        """Close the file."""
        self.writer.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in values.items():
            self._write(step, summary=self.summary.scalar(name, value))

    def sheet(self, step: int, pixels: Picture) -> None:
        """Write a contact sheet."""
        sheet = self.summary.image("sheet", pixels, dataformats="HWC")
        self._write(step, summary=sheet)

    def _write(self, step: int, **content: Any) -> None:
        event = self.protocol.Event(step=step, wall_time=time.time(), **content)
        self.writer.write_event(event)
        self.writer.flush()


class WeightsAndBiases:
    """A run of Weights & Biases, a new one each time that a training resumes, in one group.

    Args:
      out: the folder of the training, by whose name runs are grouped.
      done: steps done before.
    """

    def __init__(self, out: Path, done: int):
        self.package: Any = importlib.import_module("wandb")
        group = out.resolve().name
        name = f"{group} from step {done}"
        self.run = self.package.init(dir=str(out), group=group, name=name)

    def end(self, error: object, *_: object) -> None:
        """End the run, as failed after an error."""
        self.run.finish(exit_code=0 if error is None else 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Send numbers by name."""
        self.run.log(values, step=step)

    def sheet(self, step: int, pixels: Picture) -> None:
        """Send a contact sheet."""
        self.run.log({"sheet": self.package.Image(pixels)}, step=step)


def open_boards(out: Path, done: int) -> list[TensorBoard | WeightsAndBiases]:
    """Return the boards of a run; Weights & Biases if `WANDB_PROJECT` is set."""
    board = TensorBoard(out / "tensorboard", done)
    if not os.environ.get(WANDB_PROJECT):
        return [board]
    if importlib.util.find_spec("wandb"):
        return [board, WeightsAndBiases(out, done)]
    print(f"{WANDB_PROJECT} is set, but nothing is sent: pip install wandb", flush=True)
    return [board]
