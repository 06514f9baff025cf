"""Boards that show the numbers and pictures of a run: TensorBoard, and Weights & Biases."""

import importlib
import importlib.util
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
from jaxtyping import UInt8

from input_pipeline.whole_files import make_own_folder

WANDB_PROJECT = "WANDB_PROJECT"  # of the environment; without it nothing leaves the machine


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
        self.writer = event_file_writer.EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        self._write(self.protocol.Event(step=done + 1, session_log={"status": "START"}))

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write numbers by name."""
        for name, value in values.items():
            self._write(self.protocol.Event(step=step, summary=self.summary.scalar(name, value)))

    def picture(self, step: int, name: str, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        """Write a picture."""
        summary = self.summary.image(name, pixels, dataformats="HWC")
        self._write(self.protocol.Event(step=step, summary=summary))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
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
        name = out.resolve().name
        self.run = self.package.init(dir=str(out), group=name, name=f"{name} from step {done}")

    def __enter__(self) -> "WeightsAndBiases":
        return self

    def __exit__(self, error: object, *_: object) -> None:
        self.run.finish(exit_code=0 if error is None else 1)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Send numbers by name."""
        self.run.log(values, step=step)

    def picture(self, step: int, name: str, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        """Send a picture."""
        self.run.log({name: self.package.Image(pixels)}, step=step)


def open_boards(out: Path, done: int) -> list[TensorBoard | WeightsAndBiases]:
    """Return the boards of a run, to be entered; Weights & Biases if `WANDB_PROJECT` is set."""
    boards: list[TensorBoard | WeightsAndBiases] = [TensorBoard(out / "tensorboard", done)]
    if os.environ.get(WANDB_PROJECT):
        if importlib.util.find_spec("wandb") is None:
            print(f"{WANDB_PROJECT} is set, but nothing is sent: pip install wandb", flush=True)
        else:
            boards.append(WeightsAndBiases(out, done))
    return boards
