"""Work of a compiled GPU program: what it moves and multiplies, counted in its optimised HLO.

Every operation of a scheduled computation is a kernel, which reads its operands from memory and
writes its result there, as if nothing stayed in a cache. A fusion reads of an operand that it only
slices what the slices take, and writes of a buffer that it updates in place what the update holds.
An operation counts as often as its computation runs (`hlo.Program.runs`). Convolutions are no
products here; those of a Pallas kernel are what its metadata says.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from full4d_jax.training.dry_run.hlo import Instruction, Program, array_bytes, arrays_of

_CONTRACTED = re.compile(r"lhs_contracting_dims=\{([\d,]+)\}")
_LIBRARY = re.compile(r'custom_call_target="__(cublas\$gemm|cublas\$lt\$matmul)')
# Attention.
_CUDNN = re.compile(r'custom_call_target="__cudnn\$fmhaSoftmax(Backward)?"')
# Of a Pallas kernel.
_KERNEL_FLOPS = re.compile(r'serialized_metadata = ".*?flops\\22: \\22(\d+)')
_KERNEL_RATE = re.compile(r'serialized_metadata = ".*?rate\\22: \\22(\w+)')
_HIGHEST = re.compile(r'operand_precision=\{highest,highest\}|"HIGHEST","HIGHEST"')
_LIBRARY_CONTRACTED = re.compile(r'"lhs_contracting_dimensions":\["(\d+)"')
# They name what is in memory already, or run computations that are counted themselves.
NO_KERNEL = {"parameter", "tuple", "get-tuple-element", "bitcast", "constant"}
NO_KERNEL |= {"while", "conditional", "call", "after-all"}
# A fusion looks through them.
VIEWS = frozenset(["bitcast", "convert", "copy"])
SLICES = frozenset(["dynamic-slice", "gather", "slice"])


class Work(NamedTuple):
    """Work of one run of a program on one device.

    Attributes:
      bytes: read and written.
      launches: kernels started.
      products: operations in matrix products, two for each multiplication, by the type of their
        factors: "bf16", "f32" (float32 of the highest precision), "tf32" (of a lower one), ...; of
        attention in half precision by the kernel that makes them: "flash_forward", ...
    """

    bytes: int
    launches: int
    products: dict[str, float]


def count_work(program: Program) -> Work:
    """Count the work of a program for a GPU."""
    # Computations that are no kernels of their own: of fusions, reductions and sorts.
    inside = {
        called
        for _, instruction in program.instructions()
        if instruction.op not in ("call", "while", "conditional")
        for called in instruction.calls
    }
    moved = 0
    launches = 0
    products: dict[str, float] = defaultdict(float)
    for name, instruction in program.instructions():
        runs = program.runs[name]
        if product := _product(instruction):
            products[product[0]] += runs * product[1]
        is_kernel = instruction.op not in NO_KERNEL and not instruction.op.endswith("-done")
        if is_kernel and name not in inside:
            moved += runs * _moved_bytes(instruction, program)
            launches += runs
    return Work(moved, launches, dict(products))


def _moved_bytes(instruction: Instruction, program: Program) -> int:
    if instruction.op == "fusion":
        return _fusion_bytes(program.computations[instruction.calls[0]])
    if instruction.op.endswith("-start") and instruction.type.startswith("("):
        # Its type lists the operands with the results.
        return array_bytes(instruction.type)
    written = instruction.type
    if instruction.op == "custom-call":
        # Without a library's workspace.
        written = re.sub(r"\b[su]8\[\d+\]", "", written)
    return array_bytes(written) + sum(map(array_bytes, instruction.operand_types))


def _fusion_bytes(body: list[Instruction]) -> int:
    by_name = {x.name: x for x in body}
    users = defaultdict(list)
    for instruction in body:
        for operand in instruction.operands:
            users[operand].append(instruction)

    def readers(name: str) -> Iterator[Instruction]:
        for user in users[name]:
            if user.op in VIEWS:
                yield from readers(user.name)
            else:
                yield user

    root = next(x for x in body if x.is_root)
    total = 0
    for result in [by_name[x] for x in root.operands] if root.op == "tuple" else [root]:
        written = result
        while written.op in VIEWS and written.operands:
            written = by_name[written.operands[0]]
        is_update = written.op == "dynamic-update-slice"
        total += array_bytes(written.operand_types[1] if is_update else result.type)
    for parameter in body:
        if parameter.op != "parameter":
            continue
        size = array_bytes(parameter.type)
        used_by = list(readers(parameter.name))
        if used_by and all(x.op in SLICES for x in used_by):
            total += sum(array_bytes(x.type) for x in used_by)
        elif not used_by or not all(_updates(x, size) for x in used_by):
            total += size
    return total


def _updates(user: Instruction, size: int) -> bool:
    """Return whether an instruction writes in place into a buffer of so many bytes."""
    return user.op == "dynamic-update-slice" and array_bytes(user.type) == size


def _product(instruction: Instruction) -> tuple[str, float] | None:
    """Return the type of a product's factors, or the rate that its kernel names; and operations."""
    text = instruction.text
    factors = [arrays_of(kind) for kind in instruction.operand_types[:2]]
    if cudnn := _CUDNN.search(text):
        # Of queries (b n k d) and keys (b m k d).
        queries, keys = (sides for ((_, sides), *_) in factors)
        kind, products = ("cudnn_gradient", 5) if cudnn[1] else ("cudnn_forward", 2)
        return kind, 2.0 * products * math.prod(queries) * keys[1]
    is_call = instruction.op == "custom-call"
    kernel = is_call and _KERNEL_FLOPS.search(text)
    if instruction.op != "dot" and not kernel and not (is_call and _LIBRARY.search(text)):
        return None
    kind, left = factors[0][0]
    if kind == "f32":
        kind = "f32" if _HIGHEST.search(text) else "tf32"
    elif rate := _KERNEL_RATE.search(text):
        kind = rate[1]
    if kernel:
        return kind, float(kernel[1])
    contracted = _CONTRACTED.search(text) or _LIBRARY_CONTRACTED.search(text)
    assert contracted, text
    length = math.prod(left[int(axis)] for axis in contracted[1].split(","))
    _, result = arrays_of(instruction.type)[0]
    return kind, 2.0 * length * math.prod(result)
