"""Work of a compiled program: bytes and products on a GPU, Pallas kernels on a TPU.

Of a GPU's program every operation of a scheduled computation is a kernel, which reads its operands
from memory and writes its result there, as if nothing stayed in a cache. A fusion reads of an
operand that it only slices what the slices take, and writes of a buffer that it updates in place
what the update holds. An operation counts as often as its computation runs (`hlo.Program.runs`).
Convolutions are no products here; those of a Pallas kernel are what its metadata says.

On TPUs products inside Pallas kernels are counted in the traced program: compilers do not estimate
them.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.extend import core

from full4d_jax.training.inspection import hlo

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


def count_work(program: hlo.Program) -> Work:
    """Count the work of a program for a GPU."""
    # Computations that are no kernels of their own: of fusions, reductions and sorts.
    inside = {
        called
        for _, line in program.instructions()
        if line.op not in ("call", "while", "conditional")
        for called in line.calls
    }
    transferred = 0
    launches = 0
    products: dict[str, float] = defaultdict(float)
    for name, line in program.instructions():
        runs = program.runs[name]
        if product := _product(line):
            products[product[0]] += runs * product[1]
        is_kernel = line.op not in NO_KERNEL and not line.op.endswith("-done")
        if is_kernel and name not in inside:
            transferred += runs * _moved_bytes(line, program)
            launches += runs
    return Work(transferred, launches, dict(products))


def _moved_bytes(line: hlo.Instruction, program: hlo.Program) -> int:
    if line.op == "fusion":
        return _fusion_bytes(program.computations[line.calls[0]])
    if line.op.endswith("-start") and line.type.startswith("("):
        # Its type lists the operands with the results.
        return hlo.array_bytes(line.type)
    written = line.type
    if line.op == "custom-call":
        # Without a library's workspace.
        written = re.sub(r"\b[su]8\[\d+\]", "", written)
    return hlo.array_bytes(written) + sum(map(hlo.array_bytes, line.operand_types))


def _fusion_bytes(body: list[hlo.Instruction]) -> int:
    by_name = {x.name: x for x in body}
    users = defaultdict(list)
    for line in body:
        for operand in line.operands:
            users[operand].append(line)

    def readers(name: str) -> Iterator[hlo.Instruction]:
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
        total += hlo.array_bytes(written.operand_types[1] if is_update else result.type)
    for parameter in body:
        if parameter.op != "parameter":
            continue
        size = hlo.array_bytes(parameter.type)
        used_by = list(readers(parameter.name))
        if used_by and all(x.op in SLICES for x in used_by):
            total += sum(hlo.array_bytes(x.type) for x in used_by)
            continue
        # Those that write in place into a buffer of its size.
        updates = {(x.op, hlo.array_bytes(x.type)) for x in used_by}
        if updates != {("dynamic-update-slice", size)}:
            total += size
    return total


def _product(line: hlo.Instruction) -> tuple[str, float] | None:
    """Return the type of a product's factors, or the rate that its kernel names; and operations."""
    text = line.text
    factors = [hlo.arrays_of(kind) for kind in line.operand_types[:2]]
    if cudnn := _CUDNN.search(text):
        # Of queries (b n k d) and keys (b m k d).
        queries, keys = (sides for ((_, sides), *_) in factors)
        kind, products = ("cudnn_gradient", 5) if cudnn[1] else ("cudnn_forward", 2)
        return kind, 2.0 * products * math.prod(queries) * keys[1]
    is_call = line.op == "custom-call"
    kernel = is_call and _KERNEL_FLOPS.search(text)
    if line.op != "dot" and not kernel and not (is_call and _LIBRARY.search(text)):
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
    _, result = hlo.arrays_of(line.type)[0]
    return kind, 2.0 * length * math.prod(result)


def kernel_products(jaxpr: Any, program: hlo.Program) -> int:
    """Return the operations of products in the Pallas kernels of a program, on one TPU.

    A multiplication and its addition are two. A kernel counts for each place of its grid, splash
    attention for those that its lists of tiles do not skip, with that branch of each condition that
    has most. A scan inside counts as often as it is long, another loop once. Of several kernels
    under one name, or lists of one shape, the largest counts for all.

    Args:
      jaxpr: of the program, `traced.jaxpr`; kernels lie inside `shard_map`, or run on one device.
        It has more calls than will run.
      program: optimised, which has the calls that run.

    Raises:
      ValueError: A kernel of the optimised program is not in the traced one.
    """
    by_name: dict[str, int] = {}
    # Lists reach kernels through loops and `shard_map`, so they are known by their shape. Of what
    # `tile_lists` makes only the kinds of tiles have one byte. Devices with lists of their own wait
    # for the busiest.
    active: dict[tuple[int, ...], float] = {}
    for constant in jaxpr.consts:
        if constant.dtype == np.int8:
            share = float((np.asarray(constant) > 0).mean((-3, -2, -1)).max())
            shape = constant.shape[-3:]
            active[shape] = max(share, active.get(shape, 0.0))
    for name, products in _kernels(jaxpr.jaxpr, active):
        by_name[name] = max(products, by_name.get(name, 0))
    runs_by_name = hlo.kernel_runs(program)
    if unknown := sorted(set(runs_by_name) - set(by_name)):
        raise ValueError(f"kernels: found {unknown}, expected {sorted(by_name)}")
    return sum(runs * by_name[name] for name, runs in runs_by_name.items())


def _kernels(
    jaxpr: Any, active: Mapping[tuple[int, ...], float]
) -> Iterator[tuple[str, int]]:
    """Yield the name and the operations of each call of a kernel in a program.

    Args:
      jaxpr: the program.
      active: share of a list of tiles that splash attention does not skip, by the list's shape.
    """
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "pallas_call":
            body = eqn.params["jaxpr"]
            name = eqn.params["name"] or body.debug_info.func_name
            places = math.prod(eqn.params["grid_mapping"].grid)
            if name.startswith("splash_mha"):
                # Of tiles: skipped, partial or whole.
                _, kinds, *_ = eqn.invars
                places = round(places * active[kinds.aval.shape])
            yield name, places * _products(body)
        else:
            for inner in _inner(eqn):
                yield from _kernels(inner, active)


def _products(jaxpr: Any) -> int:
    """Return the operations of products in the body of a kernel."""
    total = 0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            length = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
            total += 2 * length * math.prod(eqn.outvars[0].aval.shape)
        counts = [_products(inner) for inner in _inner(eqn)]
        runs = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        total += runs * (max(counts) if eqn.primitive.name == "cond" else sum(counts))
    return total


def _inner(eqn: Any) -> Iterator[Any]:
    """Yield the programs inside an operation."""
    for value in eqn.params.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, core.ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, core.Jaxpr):
                yield one
