"""How often each computation of an optimised program runs, and the compiler's estimate of its work.

XLA writes one computation after the other. A computation runs as often as its callers do; loops
multiply by their trip count, the constant that their condition compares with, or 1 where there is
none. All branches of a conditional count, though one of them runs.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

UNKNOWN = 2**62  # cycles
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "f64": 8, "u64": 8}  # else 4
ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")  # its type and its sides
COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_LOOP = re.compile(r" while\(.*condition=%?([\w.-]+), body=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count[^}]*?"n":"(\d+)"')
_CONSTANT = re.compile(r"= s32\[\].* constant\((\d+)\)")
_CALLS = re.compile(r"(?:calls|to_apply)=%?([\w.-]+)")
_BRANCHES = re.compile(
    r"(?:branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.-]+))"
)
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_PLACE = re.compile(r'op_name="([^"]*)"')


def array_sides(text: str) -> list[int]:
    """Return the sides of an array from their list in HLO."""
    return [int(n) for n in text.split(",") if n]


def arrays_bytes(arrays: Iterable[tuple[str, str]]) -> int:
    """Return the bytes of arrays, each given by its type and the list of its sides."""
    return sum(BYTES.get(kind, 4) * math.prod(array_sides(sides)) for kind, sides in arrays)


def count_runs(hlo: str) -> Counter[str]:
    """Return how often each computation runs, by its name.

    Args:
      hlo: text of an optimised program, `compiled.as_text()`.
    """
    calls: dict[str, list[tuple[str, str | int]]] = defaultdict(list)  # callee, trips or condition
    limits: dict[str, int] = {}  # largest constant of a computation
    name = entry = ""
    for line in hlo.splitlines():
        if head := COMPUTATION.match(line):
            name = head[2]
            entry = name if head[1] else entry
        elif loop := _LOOP.search(line):
            trips = _TRIPS.search(line)
            calls[name].append((loop[2], int(trips[1]) if trips else loop[1]))
        elif constant := _CONSTANT.search(line):
            limits[name] = max(limits.get(name, 0), int(constant[1]))
        else:
            calls[name] += [(callee, 1) for callee in _CALLS.findall(line)]
            branches = " ".join(listed or one for listed, one in _BRANCHES.findall(line))
            calls[name] += [(branch, 1) for branch in re.findall(r"[\w.-]+", branches)]
    runs: Counter[str] = Counter()

    def walk(computation: str, times: int) -> None:
        runs[computation] += times
        for callee, trips in calls[computation]:
            walk(callee, times * (trips if isinstance(trips, int) else limits.get(trips, 1)))

    walk(entry, 1)
    return runs


class CompilerEstimate(NamedTuple):
    """The compiler's estimate of a program, by named scope; "" is the whole program.

    Attributes:
      cycles: of a device, for one run of the program.
      unknown: how often operations run that the compiler has no estimate of.
    """

    cycles: Counter[str]
    unknown: Counter[str]

    def share(self, scope: str) -> float | None:
        """Return the share of the cycles in a scope; None where it has unknown ones, or all are."""
        if self.unknown[scope] or not self.cycles[""]:
            return None
        return self.cycles[scope] / self.cycles[""]


def estimate_cycles(hlo: str, scopes: Sequence[str] = ()) -> CompilerEstimate:
    """Return the cycles that XLA for TPU estimates; other compilers estimate none.

    Kernels of Pallas have no number at all, and what runs on a SparseCore has the largest there is.

    Args:
      hlo: text of an optimised program.
      scopes: names given by `jax.named_scope`.
    """
    runs = count_runs(hlo)
    name = ""
    total = CompilerEstimate(Counter(), Counter())
    inside = {scope: re.compile(rf"[/(]{scope}[/)]") for scope in scopes}
    for line in hlo.splitlines():
        if head := COMPUTATION.match(line):
            name = head[2]
        elif cycles := _CYCLES.search(line):
            number = int(cycles[1])
            place = _PLACE.search(line)
            here = [""] + [s for s, mark in inside.items() if place and mark.search(place[1])]
            for scope in here:
                if number < UNKNOWN:
                    total.cycles[scope] += runs[name] * number
                else:
                    total.unknown[scope] += runs[name]
    return total
