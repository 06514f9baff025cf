"""The communication of a compiled program, counted in the text of its optimised HLO.

A collective counts as often as its computation runs (`hlo`). On TPU a reduce-scatter is a fusion
that calls a computation named `all-reduce-scatter`, and an asynchronous fusion repeats its
collective in its start, its steps and its end, all with one channel.
"""

import re
from typing import NamedTuple

from full4d_jax.training.dry_run.hlo import ARRAY, COMPUTATION, arrays_bytes, count_runs

KINDS = ("all-to-all", "all-gather", "reduce-scatter", "all-reduce", "collective-permute")

_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(")


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
    runs = count_runs(hlo)
    total = {}
    channels: set[tuple[str, str]] = set()
    name = ""
    for line in hlo.splitlines():
        if head := COMPUTATION.match(line):
            name = head[2]
        elif op := _COLLECTIVE.search(line):
            channel = re.search(r"channel_id=(\d+)", line)
            mark = (op[2], channel[1] if channel else "")
            # Outside of fusions channels repeat: all of a `shard_map` have the same.
            if "fus" in name and mark in channels:
                continue
            channels.add(mark)
            kind = "reduce-scatter" if "all-reduce-scatter" in name else op[2]
            count, size = total.get(kind, Traffic(0, 0))
            more = runs[name] * _result_bytes(op[1], op[2] if op[3] else "")
            total[kind] = Traffic(count + runs[name], size + more)
    return {kind: total[kind] for kind in KINDS if total.get(kind, (0,))[0]}


def _result_bytes(shapes: str, started: str) -> int:
    """Return the bytes of a result type; some `-start`s list their operands first."""
    arrays = ARRAY.findall(shapes)
    if started == "collective-permute":  # operand, result, two numbers
        arrays = arrays[1:2]
    elif started in ("all-gather", "all-to-all", "reduce-scatter"):
        arrays = arrays[len(arrays) // 2 :]
    return arrays_bytes(arrays)
