"""An xprof trace of some steps of a run (`--profile A:B`)."""

from pathlib import Path
from typing import Any

import jax

from full4d_jax.session.errors import InputError


def parse_steps(text: str, last: int) -> tuple[int, int]:
    """Parse `A:B`, the first and the last step to trace, in a run of `last` steps.

    Raises:
      InputError: the text is not two ordered numbers within the run.
    """
    first, _, end = text.partition(":")
    expected = f"A:B with 1 <= A <= B <= {last} (training.steps)"
    if not (first.isdecimal() and end.isdecimal() and 1 <= int(first) <= int(end) <= last):
        raise InputError("option", "--profile", text, expected, "give two steps, e.g. 10:12")
    return int(first), int(end)


def steps_left(steps: tuple[int, int] | None, done: int) -> tuple[int, int] | None:
    """Return the steps to trace, or None with a message if the run is past the first of them.

    This is no error: the same command resumes an interrupted run.
    """
    if steps is None or steps[0] > done:
        return steps
    print(f"no profile: the run resumes after step {done}, --profile begins at {steps[0]}")
    return None


class StepProfile:
    """Traces the steps `steps[0]` to `steps[1]` into `folder`; None traces nothing."""

    def __init__(self, steps: tuple[int, int] | None, folder: Path):
        self.steps = steps
        self.folder = folder
        self.is_running = False

    def __enter__(self) -> "StepProfile":
        return self

    def begin(self, step: int, before: Any) -> None:
        """Start the trace if `step` is the first; `before` are the arrays of earlier steps."""
        if self.steps is not None and step == self.steps[0]:
            jax.block_until_ready(before)
            jax.profiler.start_trace(self.folder)
            self.is_running = True

    def end(self, step: int, after: Any) -> None:
        """Stop the trace if `step` was the last; `after` are its arrays."""
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
