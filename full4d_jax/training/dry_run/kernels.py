"""Products inside Pallas kernels, counted in a traced program: compilers do not estimate them."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jax.extend import core

from full4d_jax.training.dry_run.hlo import Program, kernel_runs


def kernel_products(jaxpr: Any, program: Program) -> int:
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
    runs_by_name = kernel_runs(program)
    if unknown := sorted(set(runs_by_name) - set(by_name)):
        raise ValueError(f"kernels: found {unknown} in the program, expected {sorted(by_name)}")
    return sum(runs * by_name[name] for name, runs in runs_by_name.items())


def _kernels(jaxpr: Any, active: Mapping[tuple[int, ...], float]) -> Iterator[tuple[str, int]]:
    """Yield the name and the operations of each call of a kernel in a program.

    Args:
      jaxpr: the program.
      active: share of a list of tiles that splash attention does not skip, by the list's shape.
    """
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            body = equation.params["jaxpr"]
            name = equation.params["name"] or body.debug_info.func_name
            places = math.prod(equation.params["grid_mapping"].grid)
            if name.startswith("splash_mha"):
                # Of tiles: skipped, partial or whole.
                _, kinds, *_ = equation.invars
                places = round(places * active[kinds.aval.shape])
            yield name, places * _products(body)
        else:
            for inner in _inner(equation):
                yield from _kernels(inner, active)


def _products(jaxpr: Any) -> int:
    """Return the operations of products in the body of a kernel."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            length = math.prod(left[axis] for axis in contracted)
            total += 2 * length * math.prod(equation.outvars[0].aval.shape)
        counts = [_products(inner) for inner in _inner(equation)]
        runs = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += runs * (max(counts) if equation.primitive.name == "cond" else sum(counts))
    return total


def _inner(equation: Any) -> Iterator[Any]:
    """Yield the programs inside an operation."""
    for value in equation.params.values():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, core.ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, core.Jaxpr):
                yield one
