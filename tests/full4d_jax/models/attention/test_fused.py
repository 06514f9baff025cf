"""All implementations of fused time-view attention against the dense masked softmax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_mask import oracle, with_gradients
from random_arrays import normal
from rows_by_xla import row_backward, row_forward

from full4d_jax.models.attention import flash
from full4d_jax.models.attention.flash import attend_to_all, flash_attention
from full4d_jax.models.attention.mask import listed_attention
from full4d_jax.models.attention.merged import merged_attention
from full4d_jax.models.attention.splash import splash_attention

IMPLEMENTATIONS = {
    "merged": merged_attention,
    "listed": listed_attention,
    "flash": functools.partial(flash_attention, interpret=True),
    "by_cudnn": functools.partial(flash_attention, rows_by_cudnn=True, interpret=True),
    "splash": functools.partial(splash_attention, interpret=True),
}
SIZES = [  # b v t s k d, cross_half
    ((2, 3, 4, 5, 2, 8), True),
    ((1, 3, 5, 7, 1, 8), True),  # the halves of an odd number: the last frame belongs to none
    ((1, 4, 3, 5, 1, 8), False),
]


@pytest.fixture(autouse=True)
def no_cudnn(monkeypatch):
    monkeypatch.setattr(flash, "row_forward", row_forward)
    monkeypatch.setattr(flash, "row_backward", row_backward)


@functools.cache
def values_and_gradients(attend, shape, dtype, cross_half):
    """The output, and the gradients of a random projection of it, as one jitted function."""
    draws = (normal(i, shape, dtype) for i in range(4))
    run = jax.jit(with_gradients(functools.partial(attend, cross_half=cross_half)))
    return [np.asarray(x, np.float32) for x in run(*draws)]


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize(("shape", "cross_half"), SIZES, ids=str)
def test_equals_the_dense_mask(name, shape, cross_half):
    found = values_and_gradients(IMPLEMENTATIONS[name], shape, jnp.float32, cross_half)
    expected = values_and_gradients(oracle, shape, jnp.float32, cross_half)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_is_as_near_to_the_truth_in_bfloat16_as_the_oracle_is(name):
    """Rounding differs, so both are compared with the dense mask in float32 on the same numbers."""
    shape = (1, 3, 4, 16, 2, 32)

    def exact(q, k, v, *, cross_half):
        return oracle(*(x.astype(jnp.float32) for x in (q, k, v)), cross_half=cross_half)

    def rounded(*args, **kwargs):
        return exact(*args, **kwargs).astype(jnp.bfloat16)

    truth = values_and_gradients(rounded, shape, jnp.bfloat16, True)
    dense = values_and_gradients(oracle, shape, jnp.bfloat16, True)
    found = values_and_gradients(IMPLEMENTATIONS[name], shape, jnp.bfloat16, True)
    for a, b, c in zip(found, dense, truth, strict=True):
        assert np.linalg.norm(a - c) < 2 * np.linalg.norm(b - c)
        assert np.linalg.norm(a - c) < 0.01 * np.linalg.norm(c)


@pytest.mark.parametrize(("queries", "keys"), [(70, 5), (3, 130)])
def test_flash_attends_to_another_number_of_keys(queries, keys):
    sizes = enumerate((queries, keys, keys, queries))
    draws = [normal(i, (2, n, 2, 16)) for i, n in sizes]
    ours = functools.partial(attend_to_all, interpret=True)
    both = (jax.jit(with_gradients(f))(*draws) for f in (ours, jax.nn.dot_product_attention))
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


def test_forward_mode():
    draws = [normal(i, (1, 3, 4, 5, 1, 8)) for i in range(6)]

    def run(attend):
        attend = functools.partial(attend, cross_half=True)
        return jax.jit(lambda x, dx: jax.jvp(attend, x, dx))(tuple(draws[:3]), tuple(draws[3:]))

    for a, b in zip(run(merged_attention), run(oracle), strict=True):
        np.testing.assert_allclose(a, b, atol=3e-6)


@pytest.mark.parametrize("attend", [merged_attention, listed_attention])
def test_keeps_no_logits(attend):
    """Memory for the backward pass is linear in the tokens, where the dense mask's is quadratic."""

    def temporary_bytes(attend, frames):
        x = jax.ShapeDtypeStruct((1, 2, frames, 32, 1, 16), jnp.float32)
        gradient = jax.grad(lambda *x: attend(*x, cross_half=True).sum(), (0, 1, 2))
        memory = jax.jit(gradient).lower(x, x, x).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    def growth(attend):
        return temporary_bytes(attend, 64) / temporary_bytes(attend, 16)

    assert growth(attend) < 5
    assert growth(oracle) > 10
