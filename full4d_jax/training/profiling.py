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


class StepProfile:
    """Traces some steps of a run into a folder; a context.

    Args:
      steps: the first and the last step; None traces nothing. A run that is past the first of them,
        since the same command resumes it, says so and traces nothing.
      done: steps done before.
      folder: where the trace is written.
    """

    def __init__(self, steps: tuple[int, int] | None, done: int, folder: Path):
        self.first, self.last = steps or (0, 0)
        self.folder = folder
        self.is_running = False
        if steps is not None and self.first <= done:
            print(f"no profile: the run resumes after step {done}, --profile begins at {steps[0]}")

    def __enter__(self) -> "StepProfile":
        return self

    def between(self, done: int, state: Any) -> None:
        """Start or stop the trace after `done` steps, which gave `state`, if it is time."""
        if done == self.first - 1:
            jax.block_until_ready(state)
            jax.profiler.start_trace(self.folder)
            self.is_running = True
        elif done == self.last:
            jax.block_until_ready(state)
            self._stop()

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if not self.is_running:
            return
        jax.profiler.stop_trace()
        self.is_running = False
        print(
            f"wrote a profile into {self.folder}; look at it with: pip install xprof && "
            f"xprof --logdir {self.folder}, or open its trace.json.gz in ui.perfetto.dev"
        )
