"""Arithmetic that depends on the arrays alone: not on the device, nor on what jax is set to.

By default a TPU rounds the factors of a float32 product to bfloat16 and a GPU to TF32: enough for
networks, but a centre of a Gaussian is then off by up to two pixels, or by a quarter. With
JAX_ENABLE_X64 integers and constants of a float32 program become 64 bits wide, and with
JAX_NUMPY_DTYPE_PROMOTION=strict they do not go together with its arrays.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

P = ParamSpec("P")
R = TypeVar("R")


def exact_products(function: Callable[P, R]) -> Callable[P, R]:
    """Let all matrix products that `function` traces, and their gradients, be float32."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return exact


def in_own_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Let `function` compute in the precision of its first argument, whatever jax is set to.

    All floating-point arrays become of the type that the first array of that argument has, or
    float32 where that is narrower: a centre in bfloat16 is off by pixels.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def own(*args: P.args, **kwargs: P.kwargs) -> R:
        first = next(iter(signature.bind(*args, **kwargs).arguments.values()))
        kinds = [x.dtype for x in jax.tree.leaves(first) if _is_floating(x)]
        kind = jnp.promote_types(kinds[0] if kinds else float, jnp.float32)
        kind = jnp.dtype(jax.dtypes.canonicalize_dtype(kind))
        args, kwargs = jax.tree.map(
            lambda x: x.astype(kind) if _is_floating(x) else x, (args, kwargs)
        )
        with jax.enable_x64(kind.itemsize == 8), jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return own


def _is_floating(x: Any) -> bool:
    """Return whether this is an array of floating-point numbers."""
    return jnp.issubdtype(getattr(x, "dtype", int), jnp.floating)
