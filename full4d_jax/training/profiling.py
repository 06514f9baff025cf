"""An xprof trace of some steps of a run."""

from pathlib import Path
from typing import Any

import jax

from full4d_jax.session.errors import InputError


def parse_steps(text: str, last: int) -> tuple[int, int]:
    """`A:B`, the first and the last step to trace, of a run of `last` steps.

    Raises:
      InputError: not two numbers in that order, or beyond the run.
    """
    first, _, end = text.partition(":")
    expected = f"A:B with 1 <= A <= B <= {last} (training.steps)"
    if not (first.isdecimal() and end.isdecimal() and 1 <= int(first) <= int(end) <= last):
        raise InputError("option", "--profile", text, expected, "give two steps, e.g. 10:12")
    return int(first), int(end)


def steps_left(steps: tuple[int, int] | None, done: int) -> tuple[int, int] | None:
    """The steps to trace, if a run that has `done` so many begins before them; else says so.

    No error: a run that was interrupted goes on by the same command.
    """
    if steps is None or steps[0] > done:
        return steps
    print(f"no profile: the run goes on after step {done}, --profile begins at {steps[0]}")
    return None


class StepProfile:
    """Traces the steps `steps[0]` to `steps[1]` into `folder`; None traces nothing."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self.steps, self.folder, self.is_running = steps, folder, False

    def __enter__(self) -> "StepProfile":
        return self

    def begin(self, step: int, before: Any) -> None:
        """Call before `step` is dispatched, with the arrays that the earlier ones make."""
        if self.steps is not None and step == self.steps[0]:
            jax.block_until_ready(before)
            jax.profiler.start_trace(self.folder)
            self.is_running = True

    def end(self, step: int, after: Any) -> None:
        """Call after `step` is dispatched, with the arrays that it makes."""
        if self.is_running and self.steps is not None and step == self.steps[1]:
            jax.block_until_ready(after)
            self._stop()

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self._stop()

    def _stop(self) -> None:
        jax.profiler.stop_trace()
        self.is_running = False
        print(
            f"wrote a profile into {self.folder}; look at it with: pip install xprof && "
            f"xprof --logdir {self.folder}, or open its trace.json.gz in ui.perfetto.dev"
        )
