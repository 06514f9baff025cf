"""Finds products in a traced program whose factors a TPU or a GPU would round."""

from collections.abc import Callable, Iterator

import jax
from jax.extend import core

PRODUCTS = {"dot_general", "conv_general_dilated"}
EXACT = {jax.lax.Precision.HIGHEST, jax.lax.DotAlgorithmPreset.F32_F32_F32}


def traced(function: Callable, *args: object) -> core.ClosedJaxpr:
    """Trace a function without compiling it; arguments are arrays or `jax.ShapeDtypeStruct`."""
    return jax.make_jaxpr(function)(*args)


def rounded_products(program: core.ClosedJaxpr) -> list[str]:
    """Return the places of float32 products of default precision in a program."""
    rounded = filter(_is_rounded, equations(program.jaxpr))
    return [*map(_place, rounded)]


def count_products(program: core.ClosedJaxpr) -> int:
    """Return how many products a program has."""
    return sum(x.primitive.name in PRODUCTS for x in equations(program.jaxpr))


def equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    """Return all equations, those of loops, branches and called programs included."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in core.jaxprs_in_params(equation.params):
            yield from equations(inner)


def _is_rounded(equation: core.JaxprEqn) -> bool:
    if equation.primitive.name not in PRODUCTS:
        return False
    precision = equation.params["precision"]
    each = precision if isinstance(precision, tuple) else (precision,)
    is_float32 = any(str(x.aval).startswith("float32") for x in equation.invars)
    return is_float32 and not EXACT.issuperset(each)


def _place(equation: core.JaxprEqn) -> str:
    shapes = " x ".join(str(x.aval) for x in equation.invars)
    return f"{equation.primitive.name} of {shapes}, {equation.source_info.name_stack}"
