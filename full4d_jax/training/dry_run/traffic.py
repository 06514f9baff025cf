"""What a compiled GPU program moves and multiplies, counted in the text of its optimised HLO.

Every operation of a scheduled computation is a kernel, which reads its operands from memory and
writes its result there, as if nothing stayed in a cache. A fusion reads of an operand that it only
slices what the slices take, and writes of a buffer that it updates in place what the update holds.
An operation counts as often as its computation runs (`hlo.count_runs`). Convolutions are no
products here; those of a Pallas kernel are what its metadata says.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from full4d_jax.training.dry_run.hlo import (
    ARRAY,
    COMPUTATION,
    array_sides,
    arrays_bytes,
    count_runs,
)

_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.-]+) = (\(.*?\)|\S+) ([\w-]+)\((.*)$")
_NAMES = re.compile(r"%([\w.-]+)")
_CALLED = re.compile(r"calls=%?([\w.-]+)")
_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]+)\}")
_LIBRARY = re.compile(r'custom_call_target="__(cublas\$gemm|cublas\$lt\$matmul)')
_CUDNN = re.compile(r'custom_call_target="__cudnn\$fmhaSoftmax(Backward)?"')  # attention
_KERNEL_FLOPS = re.compile(r'serialized_metadata = ".*?flops\\22: \\22(\d+)')  # of a Pallas kernel
_KERNEL_RATE = re.compile(r'serialized_metadata = ".*?rate\\22: \\22(\w+)')
_LIBRARY_CONTRACTED = re.compile(r'"lhs_contracting_dimensions":\["(\d+)"')
# They name what is in memory already, or run computations that are counted themselves.
NO_KERNEL = frozenset(["parameter", "tuple", "get-tuple-element", "bitcast", "constant"]) | {
    "while",
    "conditional",
    "call",
    "after-all",
}
VIEWS = frozenset(["bitcast", "convert", "copy"])  # that a fusion looks through
MOVES = frozenset(
    ["parameter", "constant", "tuple", "bitcast", "reshape", "copy", "transpose", "broadcast"]
    + ["concatenate", "pad", "slice", "gather", "dynamic-slice", "dynamic-update-slice", "select"]
)
SLICES = frozenset(["dynamic-slice", "gather", "slice"])


class Instruction(NamedTuple):
    """One line of HLO."""

    name: str
    type: str
    op: str
    operands: tuple[str, ...]
    text: str  # what follows the opening bracket of the operands
    is_root: bool


class Work(NamedTuple):
    """What one run of a program does on one device.

    Attributes:
      bytes: read and written.
      copies: bytes of operations that only move or transpose.
      launches: kernels started.
      products: operations in matrix products, two for each multiplication, by the type of their
        factors: "bf16", "f32" (float32 of the highest precision), "tf32" (of a lower one), ...; of
        attention in half precision by the kernel that makes them: "flash_forward", ...
    """

    bytes: int
    copies: int
    launches: int
    products: dict[str, float]


def count_work(hlo: str) -> Work:
    """Count a program's work.

    Args:
      hlo: text of an optimised program for a GPU, `compiled.as_text()`.
    """
    runs = count_runs(hlo)
    computations = parse(hlo)
    inside = {called for body in computations.values() for called in _fused(body)}
    moved = 0
    copied = 0
    launches = 0
    products: dict[str, float] = defaultdict(float)
    for name, body in computations.items():
        types = {x.name: x.type for x in body}
        for instruction in body:
            if kind := _product_type(instruction, types):
                products[kind] += runs[name] * _product_flops(instruction, types)
        if name in inside:
            continue
        for instruction in body:
            if instruction.op in NO_KERNEL or instruction.op.endswith("-done"):
                continue
            size = runs[name] * _moved_bytes(instruction, types, computations)
            moved += size
            copied += size * _only_moves(instruction, computations)
            launches += runs[name]
    return Work(moved, copied, launches, dict(products))


def parse(hlo: str) -> dict[str, list[Instruction]]:
    """Return the instructions of each computation, by its name."""
    computations: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in re.sub(r"/\*.*?\*/", "", hlo).splitlines():
        if head := COMPUTATION.match(line):
            body = computations.setdefault(head[2], [])
        elif match := _INSTRUCTION.match(line):
            root, name, kind, op, text = match.groups()
            operands = tuple(_NAMES.findall(text.split("), ")[0]))
            body.append(Instruction(name, kind, op, operands, text, bool(root)))
    return computations


def array_bytes(kind: str) -> int:
    """Return the bytes of an HLO type, of all its arrays where it is a tuple."""
    return arrays_bytes(ARRAY.findall(kind))


def _fused(body: list[Instruction]) -> Iterator[str]:
    """Computations that are no kernels of their own: of fusions, reductions and sorts."""
    for instruction in body:
        if instruction.op not in ("call", "while", "conditional"):
            yield from _CALLED.findall(instruction.text)
            yield from re.findall(r"to_apply=%?([\w.-]+)", instruction.text)


def _moved_bytes(
    instruction: Instruction, types: dict[str, str], computations: dict[str, list[Instruction]]
) -> int:
    if instruction.op == "fusion":
        body = computations[_CALLED.findall(instruction.text)[0]]
        return _fusion_bytes(instruction, body, types)
    if instruction.op.endswith("-start") and instruction.type.startswith("("):
        return array_bytes(instruction.type)  # which lists the operands with the results
    read = sum(array_bytes(types.get(name, "")) for name in instruction.operands)
    written = instruction.type
    if instruction.op == "custom-call":
        written = re.sub(r"\b[su]8\[\d+\]", "", written)  # a library's workspace
    return array_bytes(written) + read


def _fusion_bytes(fusion: Instruction, body: list[Instruction], types: dict[str, str]) -> int:
    by_name = {x.name: x for x in body}
    users = defaultdict(list)
    for instruction in body:
        for operand in instruction.operands:
            users[operand].append(instruction)

    def through_views(instruction: Instruction) -> Instruction:
        while instruction.op in VIEWS and instruction.operands:
            instruction = by_name[instruction.operands[0]]
        return instruction

    def readers(name: str) -> Iterator[Instruction]:
        for user in users[name]:
            if user.op in VIEWS:
                yield from readers(user.name)
            else:
                yield user

    root = next(x for x in body if x.is_root)
    roots = [by_name[name] for name in root.operands] if root.op == "tuple" else [root]
    total = 0
    for result in roots:
        written = through_views(result)
        if written.op == "dynamic-update-slice":
            total += array_bytes(by_name[written.operands[1]].type)
        else:
            total += array_bytes(result.type)
    parameters = {int(x.text.split(")")[0]): x for x in body if x.op == "parameter"}
    for number, operand in enumerate(fusion.operands):
        parameter = parameters.get(number)
        if parameter is None:
            continue
        used_by = list(readers(parameter.name))
        if used_by and all(x.op in SLICES for x in used_by):
            total += sum(array_bytes(x.type) for x in used_by)
        elif used_by and all(_updates(x, parameter) for x in used_by):
            continue  # it is written in place
        else:
            total += array_bytes(types.get(operand, parameter.type))
    return total


def _updates(user: Instruction, buffer: Instruction) -> bool:
    whole = array_bytes(user.type) == array_bytes(buffer.type)
    return user.op == "dynamic-update-slice" and whole


def _only_moves(instruction: Instruction, computations: dict[str, list[Instruction]]) -> bool:
    """Return whether numbers of an operation come out as they went in; places are computed."""
    if instruction.op != "fusion":
        return instruction.op in MOVES
    body = computations[_CALLED.findall(instruction.text)[0]]
    values = [x for x in body if re.match(r"\(?(f|bf)\d", x.type)]
    return bool(values) and all(x.op in MOVES for x in values)


def _product_type(instruction: Instruction, types: dict[str, str]) -> str:
    """Return the type of a product's factors, or the rate that its kernel names; "" for others."""
    if cudnn := _CUDNN.search(instruction.text):
        return "cudnn_gradient" if cudnn[1] else "cudnn_forward"
    is_library = instruction.op == "custom-call" and _LIBRARY.search(instruction.text)
    is_kernel = instruction.op == "custom-call" and _KERNEL_FLOPS.search(instruction.text)
    if instruction.op != "dot" and not is_library and not is_kernel:
        return ""
    kind = ARRAY.findall(types.get(instruction.operands[0], ""))[0][0]
    if kind != "f32":
        rate = _KERNEL_RATE.search(instruction.text)
        return rate[1] if rate else kind
    highest = re.search(r"operand_precision=\{highest,highest\}", instruction.text)
    library_highest = re.search(r'"operand_precision":\["HIGHEST","HIGHEST"\]', instruction.text)
    return "f32" if highest or library_highest else "tf32"


def _product_flops(instruction: Instruction, types: dict[str, str]) -> float:
    text = instruction.text
    if kernel := _KERNEL_FLOPS.search(text):
        return float(kernel[1])
    if cudnn := _CUDNN.search(text):  # of queries (b n k d) and keys (b m k d)
        queries, keys = (ARRAY.findall(types[x])[0][1] for x in instruction.operands[:2])
        products = 5 if cudnn[1] else 2
        return 2.0 * products * math.prod(array_sides(queries)) * array_sides(keys)[1]
    left = array_sides(ARRAY.findall(types[instruction.operands[0]])[0][1])
    result = array_sides(ARRAY.findall(instruction.type)[0][1])
    contracted = _CONTRACTED.search(text) or _LIBRARY_CONTRACTED.search(text)
    assert contracted, text
    length = math.prod(left[int(axis)] for axis in contracted[1].split(","))
    return 2.0 * length * math.prod(result)
