"""How long the devices of this process are busy with steps, seen without stopping the loop."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax


class StepClock:
    """Adds up the time in which a step of this process runs; a thread waits for their results.

    With several processes a step begins when the first of them has dispatched it, and so the one
    that all wait for is the one whose own devices are busy for the shortest time.

    Attributes:
      busy: seconds, of the steps that have ended.
    """

    def __init__(self) -> None:
        self.busy = 0.0
        self.ended = 0.0
        self.newest: Future[None] | None = None
        self.threads = ThreadPoolExecutor(1, "step-clock")

    def stepped(self, began: float, results: Any) -> None:
        """Note a step that was dispatched at `began` (`time.perf_counter`), by its results."""
        self.newest = self.threads.submit(self._wait, began, results)

    def seconds(self) -> float:
        """Return the busy time of all steps, when the newest has ended."""
        if self.newest is not None:
            self.newest.result()
        return self.busy

    def close(self) -> None:
        """End the thread, when the newest step has ended."""
        self.threads.shutdown()

    def _wait(self, began: float, results: Any) -> None:
        jax.block_until_ready(results)
        now = time.perf_counter()
        self.busy += now - max(began, self.ended)
        self.ended = now
