"""Progress of long stages on stderr: steps done, speed, time left, metrics."""

import sys
import time
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

Item = TypeVar("Item")


def duration(seconds: float) -> str:
    """Return `seconds` in words of at most two units: `4.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Progress of one long stage; call it with the number of finished steps and metrics.

    On a terminal one line is rewritten; in a log file a new line comes every five seconds. Rates
    leave out the first step, which compiles.

    Args:
      label: what the stage is called.
      total: how many steps it has.
    """

    def __init__(self, label: str, total: int):
        self.label = label
        self.total = total
        self.live = sys.stderr.isatty()
        self.every = 0.5 if self.live else 5.0
        self.start = self.printed = time.perf_counter()
        self.first: tuple[int, float] | None = None

    def __enter__(self) -> "Progress":
        return self

    def __call__(self, step: int, metrics: Mapping[str, float] | None = None) -> None:
        """Report that `step` steps are finished, with numbers to print as they are."""
        now = time.perf_counter()
        if self.first is None:
            self.first = (step, now)
        if now - self.printed < self.every and step < self.total:
            return
        self.printed = now
        text = f"{self.label}: {step}/{self.total}"
        steps = step - self.first[0]
        seconds = now - self.first[1]
        if steps > 0 and seconds > 0:
            rate = steps / seconds
            text += (
                f", {rate:.3g} a second, {duration((self.total - step) / rate)} left"
            )
        for name, value in (metrics or {}).items():
            text += f", {name} {float(value):.4g}"
        self._print(text)

    def __exit__(self, kind: type | None, error: object, trace: object) -> None:
        state = "done in" if kind is None else "stopped after"
        self._print(
            f"{self.label}: {state} {duration(time.perf_counter() - self.start)}"
        )
        if self.live:
            print(file=sys.stderr, flush=True)

    def _print(self, text: str) -> None:
        # Back to the start of the line, and clear what is left of the old one.
        line = f"\r{text}\x1b[K" if self.live else f"{text}\n"
        print(line, end="", file=sys.stderr, flush=True)


def watch(label: str, items: Collection[Item]) -> Iterator[Item]:
    """Yield the items that a long stage works through, and report after each."""
    with Progress(label, len(items)) as report:
        for done, item in enumerate(items, 1):
            yield item
            report(done)
