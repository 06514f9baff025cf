"""Matrix products of geometry in full float32, on every device.

By default a TPU rounds the factors of a float32 product to bfloat16 and a GPU to TF32: enough for
networks, but a centre of a Gaussian is then off by up to two pixels, or by a quarter.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

P = ParamSpec("P")
R = TypeVar("R")
Matrices = Float[Array, "g 3 3"]


def exact_products(function: Callable[P, R]) -> Callable[P, R]:
    """Let all matrix products that `function` traces, and their gradients, be float32."""

    @wraps(function)
    def exact(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return exact


@exact_products
def turn_all(rotation: Float[Array, "3 3"], matrices: Matrices) -> Matrices:
    """Multiply many small matrices by one from the left.

    XLA for GPUs has no kernel for such a product (an internal error), so there it is a sum of
    three outer products, which is as exact and on CPU half as fast.
    """

    def sums(rotation, matrices):
        terms = (rotation[None, :, j, None] * matrices[:, None, j] for j in range(3))
        first, second, third = terms
        return first + second + third

    product = partial(jnp.einsum, "ij,gjk->gik")
    return lax.platform_dependent(
        rotation, matrices, cuda=sums, rocm=sums, default=product
    )
