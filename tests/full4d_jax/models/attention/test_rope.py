import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config import ModelConfig
from full4d_jax.models.attention.rope import rotary_angles, rotate, turn_by_product, turn_in_pairs
from full4d_jax.models.tokens import TokenGrid

MODEL = ModelConfig(width=12, heads=1, cameras=(), rope_theta=100.0)


@pytest.mark.parametrize("turn", [rotate, turn_by_product])
def test_rotation_is_a_complex_product(turn):
    x = jax.random.normal(jax.random.key(0), (2, 12, 2, 12))
    angles = rotary_angles(jnp.arange(12), TokenGrid(1, 3, 4), 2, MODEL)
    numbers = np.asarray(x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[None, :, None]
    turned = np.asarray(turn(x, angles))
    np.testing.assert_allclose(turned[..., ::2], np.real(numbers), atol=1e-5)
    np.testing.assert_allclose(turned[..., 1::2], np.imag(numbers), atol=1e-5)


@pytest.mark.parametrize(("dtype", "rounding"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2**-7)])
def test_both_ways_of_turning_have_the_same_gradient(dtype, rounding):
    x, cotangent = (jax.random.normal(jax.random.key(i), (2, 12, 2, 12), dtype) for i in range(2))
    angles = rotary_angles(jnp.arange(12), TokenGrid(1, 3, 4), 2, MODEL)
    in_pairs, by_product = (
        jax.vjp(lambda x, turn=turn: turn(x, angles), x)
        for turn in (turn_in_pairs, turn_by_product)
    )
    np.testing.assert_array_equal(in_pairs[0], by_product[0])
    expected, found = (np.asarray(pull(cotangent)[0]) for _, pull in (in_pairs, by_product))
    assert found.dtype == expected.dtype == dtype
    size = np.abs(expected).max()
    np.testing.assert_allclose(
        found.astype(np.float32), expected.astype(np.float32), atol=rounding * size
    )
