"""Blocks: what their backward pass computes again, and heads that come out of products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.extend import core

from full4d_jax.models.attention.mask import SAVED
from full4d_jax.models.block import rematerialised
from full4d_jax.models.linear import linear

SIDE = 8
REMAT = [("none", 0), ("block", 3), ("attention", 2), ("products", 0)]


def layer(x: jax.Array, weights: jax.Array) -> jax.Array:
    """A product with parameters, then one of tokens, as attention is."""
    product = linear(SIDE, SIDE, nnx.Rngs(0))
    product.kernel[...] = weights
    tokens = jnp.sin(product.in_heads(product(x), 2).reshape(x.shape))
    logits = jnp.einsum("bnd,bmd->bnm", tokens, tokens)
    return jnp.sin(checkpoint_name(logits, SAVED))


def gradient(remat: str):
    def loss(x: jax.Array, weights: jax.Array) -> jax.Array:
        return (rematerialised(layer, remat)(x, weights) ** 2).sum()

    return jax.grad(loss, argnums=(0, 1))


def count_products(jaxpr: core.Jaxpr) -> int:
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == "dot_general"
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if isinstance(inner, core.Jaxpr):
                count += count_products(inner)
    return count


@pytest.mark.parametrize(("remat", "recomputed"), REMAT)
def test_as_many_products_are_recomputed_as_the_option_says(remat, recomputed):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, 5, SIDE)), jnp.float32)
    weights = jnp.asarray(rng.normal(size=(SIDE, SIDE)), jnp.float32)
    compute = gradient(remat)
    # Three products forward, and the gradients of their six factors.
    assert count_products(jax.make_jaxpr(compute)(x, weights).jaxpr) == 9 + recomputed
    for one, other in zip(compute(x, weights), gradient("none")(x, weights), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
