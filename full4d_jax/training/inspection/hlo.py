"""Reader of optimised HLO: instructions, how often each runs, collectives and cycles.

XLA writes one computation after the other. A computation runs as often as its callers do; loops
multiply by their trip count, the constant that their condition compares with, or 1 where there is
none. All branches of a conditional count, though one of them runs.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

COLLECTIVES = [
    "all-to-all",
    "all-gather",
    "reduce-scatter",
    "all-reduce",
    "collective-permute",
]
# Others have four.
BYTES_OF = {"pred": 1, "bf16": 2} | {f"{x}{8 * n}": n for x in "suf" for n in (1, 2, 8)}
# Its type and its sides.
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
_NAMES = re.compile(r"%([\w.-]+)")
_LOOP = re.compile(r"condition=%?([\w.-]+), body=%?([\w.-]+)")
_TRIPS = re.compile(r'known_trip_count[^}]*?"n":"(\d+)"')
_CALLS = re.compile(r"(?:calls|to_apply)=%?([\w.-]+)")
_BRANCHES = re.compile(
    r"branch_computations=\{([^}]*)\}|(?:true|false)_computation=%?([\w.-]+)"
)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')


class Instruction(NamedTuple):
    """One line of HLO.

    Attributes:
      name: unique in its computation.
      type: of the result.
      op: the operation.
      operands: their names.
      operand_types: of those that the same computation has, else "".
      text: what follows the opening bracket of the operands.
      is_root: whether the computation returns it.
    """

    name: str
    type: str
    op: str
    operands: tuple[str, ...]
    operand_types: tuple[str, ...]
    text: str
    is_root: bool

    @property
    def calls(self) -> list[str]:
        """Return the computations that it calls by name: of fusions, reductions and sorts."""
        return _CALLS.findall(self.text)


class Program(NamedTuple):
    """An optimised program.

    Attributes:
      computations: the instructions of each, by its name, as they are written.
      runs: how often each computation runs on one device.
    """

    computations: dict[str, list[Instruction]]
    runs: Counter[str]

    def instructions(self) -> Iterator[tuple[str, Instruction]]:
        """Yield all instructions, each with the name of its computation."""
        for name, body in self.computations.items():
            for line in body:
                yield name, line


def read_program(hlo: str) -> Program:
    """Read the text of an optimised program, `compiled.as_text()`."""
    computations: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    types: dict[str, str] = {}
    entry = ""
    for line in re.sub(r"/\*.*?\*/", "", hlo).splitlines():
        if head := _COMPUTATION.match(line):
            body = computations.setdefault(head[2], [])
            types = {}
            entry = head[2] if head[1] else entry
        elif match := _INSTRUCTION.match(line):
            root, name, kind, op, text = match.groups()
            types[name] = kind
            operands = tuple(_NAMES.findall(text.split("), ")[0]))
            read = tuple(types.get(x, "") for x in operands)
            body.append(Instruction(name, kind, op, operands, read, text, bool(root)))
        elif line.startswith("}}"):
            # The end of an instruction whose metadata have several lines.
            body[-1] = body[-1]._replace(text=body[-1].text + line)
    return Program(computations, _count_runs(computations, entry))


def _count_runs(computations: dict[str, list[Instruction]], entry: str) -> Counter[str]:
    """Return how often each computation runs, by its name."""
    # Largest constant of a computation.
    limits: dict[str, int] = {}
    for name, body in computations.items():
        constants = [
            x for x in body if x.op == "constant" and x.type.startswith("s32[]")
        ]
        numbers = [int(n[0]) for x in constants if (n := re.match(r"\d+", x.text))]
        limits[name] = max(numbers, default=1)
    # Callees by their caller, each with its trips.
    calls: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for name, body in computations.items():
        for line in body:
            if loop := _LOOP.search(line.text):
                trips = _TRIPS.search(line.text)
                calls[name].append(
                    (loop[2], int(trips[1]) if trips else limits[loop[1]])
                )
            else:
                branches = " ".join(a or b for a, b in _BRANCHES.findall(line.text))
                callees = line.calls + re.findall(r"[\w.-]+", branches)
                calls[name] += [(callee, 1) for callee in callees]
    runs: Counter[str] = Counter()

    def walk(computation: str, times: int) -> None:
        runs[computation] += times
        for callee, trips in calls[computation]:
            walk(callee, times * trips)

    walk(entry, 1)
    return runs


def arrays_of(kind: str) -> list[tuple[str, list[int]]]:
    """Return the types of the numbers and the sides of all arrays in an HLO type."""
    found = _ARRAY.findall(kind)
    return [
        (numbers, [int(n) for n in sides.split(",") if n]) for numbers, sides in found
    ]


def array_bytes(kind: str) -> int:
    """Return the bytes of an HLO type, of all its arrays where it is a tuple."""
    return bytes_of(arrays_of(kind))


def bytes_of(arrays: list[tuple[str, list[int]]]) -> int:
    """Return the bytes of arrays, as `arrays_of` gives them."""
    return sum(BYTES_OF.get(numbers, 4) * math.prod(sides) for numbers, sides in arrays)


def collectives(program: Program) -> dict[str, dict[str, int]]:
    """Return how often each kind of collective runs on one device, and the bytes of its results.

    Of a reduce-scatter on TPU they are those of its operands: there it is a fusion that calls a
    computation named `all-reduce-scatter`. An asynchronous fusion repeats its collective in its
    start, its steps and its end, all with one channel.
    """
    total = {kind: {"count": 0, "bytes": 0} for kind in COLLECTIVES}
    channels: set[tuple[str, str]] = set()
    for name, line in program.instructions():
        kind = line.op.removesuffix("-start")
        if kind not in COLLECTIVES:
            continue
        channel = _CHANNEL.search(line.text)
        mark = (kind, channel[1] if channel else "")
        # Outside of fusions channels repeat: all of a `shard_map` have the same.
        if "fus" in name and mark in channels:
            continue
        channels.add(mark)
        arrays = arrays_of(line.type)
        if kind != line.op:
            # Some that are started list their operands first.
            half = len(arrays) // 2
            listed = {"collective-permute": arrays[1:2], "all-reduce": arrays}
            arrays = listed.get(kind, arrays[half:])
        kind = "reduce-scatter" if "all-reduce-scatter" in name else kind
        total[kind]["count"] += program.runs[name]
        total[kind]["bytes"] += program.runs[name] * bytes_of(arrays)
    return {kind: traffic for kind, traffic in total.items() if traffic["count"]}


def estimate_cycles(program: Program) -> int:
    """Return the cycles that XLA for TPU estimates for one device; other compilers estimate none.

    Kernels of Pallas have no number at all, and what runs on a SparseCore has the largest there is,
    which does not count.
    """
    unknown_cycles = 2**62
    found = ((name, _CYCLES.search(line.text)) for name, line in program.instructions())
    known = ((name, int(x[1])) for name, x in found if x)
    return sum(program.runs[name] * x for name, x in known if x < unknown_cycles)


def kernel_runs(program: Program) -> Counter[str]:
    """Return how often each Pallas kernel runs in a program for TPUs, by its name."""
    kernels: Counter[str] = Counter()
    for name, line in program.instructions():
        if 'custom_call_target="tpu_custom_call"' in line.text:
            # XLA appends .3, .clone, .remat2.
            kernel = line.name.partition(".")[0]
            kernels[kernel.removesuffix("-start")] += program.runs[name]
    return kernels
