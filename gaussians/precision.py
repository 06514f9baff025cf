"""Matrix products of geometry in full float32, on every device.

By default a TPU rounds the factors of a float32 product to bfloat16 and a GPU to TF32: enough for
networks, but a centre of a Gaussian is then off by up to two pixels, or by a quarter.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def exact_products(function: Callable[P, R]) -> Callable[P, R]:
    """Let all matrix products that `function` traces, and their gradients, be float32."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return exact
