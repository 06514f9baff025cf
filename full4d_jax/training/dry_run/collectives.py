"""The communication of a compiled program, counted in the text of its optimised HLO.

XLA writes one computation after the other. A collective counts as often as its computation runs:
loops multiply by their trip count, the constant that their condition compares with. On TPU a
reduce-scatter is a fusion that calls a computation named `all-reduce-scatter`, and an asynchronous
fusion repeats its collective in its start, its steps and its end, all with one channel.
"""

import math
import re
from collections import defaultdict
from typing import NamedTuple

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s64": 8, "f64": 8, "u64": 8}  # else 4
KINDS = ("all-to-all", "all-gather", "reduce-scatter", "all-reduce", "collective-permute")

_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(")
_LOOP = re.compile(r" while\(.*condition=%?([\w.-]+), body=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count[^}]*?"n":"(\d+)"')
_CONSTANT = re.compile(r"= s32\[\].* constant\((\d+)\)")
_CALLS = re.compile(r"(?:calls|to_apply)=%?([\w.-]+)")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")


class Traffic(NamedTuple):
    """One kind of collective, in one run of the program on one device.

    Attributes:
      count: how often it runs.
      bytes: size of its results; for a reduce-scatter on TPU, of its operands.
    """

    count: int
    bytes: int


def collectives(hlo: str) -> dict[str, Traffic]:
    """Return the traffic of each kind in `KINDS` that occurs.

    Args:
      hlo: text of an optimised program, `compiled.as_text()`.
    """
    found: dict[str, list[tuple[str, int]]] = defaultdict(list)  # by computation
    calls: dict[str, list[tuple[str, str | int]]] = defaultdict(list)  # callee, trips or condition
    limits: dict[str, int] = {}  # largest constant of a computation
    channels: set[tuple[str, str]] = set()
    name = entry = ""
    for line in hlo.splitlines():
        if head := _COMPUTATION.match(line):
            name = head[2]
            entry = name if head[1] else entry
        elif loop := _LOOP.search(line):
            trips = _TRIPS.search(line)
            calls[name].append((loop[2], int(trips[1]) if trips else loop[1]))
        elif op := _COLLECTIVE.search(line):
            channel = re.search(r"channel_id=(\d+)", line)
            mark = (op[2], channel[1] if channel else "")
            # Outside of fusions channels repeat: all of a `shard_map` have the same.
            if "fus" in name and mark in channels:
                continue
            channels.add(mark)
            kind = "reduce-scatter" if "all-reduce-scatter" in name else op[2]
            found[name].append((kind, _result_bytes(op[1], op[2] if op[3] else "")))
        elif constant := _CONSTANT.search(line):
            limits[name] = max(limits.get(name, 0), int(constant[1]))
        else:
            calls[name] += [(callee, 1) for callee in _CALLS.findall(line)]

    total: dict[str, list[int]] = {}

    def walk(computation: str, times: int) -> None:
        for kind, size in found[computation]:
            sums = total.setdefault(kind, [0, 0])
            sums[0] += times
            sums[1] += times * size
        for callee, trips in calls[computation]:
            walk(callee, times * (trips if isinstance(trips, int) else limits.get(trips, 1)))

    walk(entry, 1)
    return {kind: Traffic(*total[kind]) for kind in KINDS if kind in total}


def _result_bytes(shapes: str, started: str) -> int:
    """Return the bytes of a result type; some `-start`s list their operands first."""
    arrays = _SHAPE.findall(shapes)
    if started == "collective-permute":  # operand, result, two numbers
        arrays = arrays[1:2]
    elif started in ("all-gather", "all-to-all"):
        arrays = arrays[len(arrays) // 2 :]
    return sum(
        BYTES.get(kind, 4) * math.prod(int(n) for n in sides.split(",") if n)
        for kind, sides in arrays
    )
