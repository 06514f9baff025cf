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
    for name, body in program.computations.items():
        runs = program.runs[name]
        types = {x.name: x.type for x in body}
        for instruction in body:
            if product := _product(instruction, types):
                products[product[0]] += runs * product[1]
            is_kernel = instruction.op not in NO_KERNEL and not instruction.op.endswith("-done")
            if is_kernel and name not in inside:
                moved += runs * _moved_bytes(instruction, types, program.computations)
                launches += runs
    return Work(moved, launches, dict(products))


def _moved_bytes(
    instruction: Instruction, types: dict[str, str], computations: dict[str, list[Instruction]]
) -> int:
    if instruction.op == "fusion":
        return _fusion_bytes(instruction, computations[instruction.calls[0]], types)
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


def _product(instruction: Instruction, types: dict[str, str]) -> tuple[str, float] | None:
    """Return the type of a product's factors, or the rate that its kernel names; and operations."""
    text = instruction.text
    factors = [arrays_of(types.get(name, "")) for name in instruction.operands[:2]]
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
