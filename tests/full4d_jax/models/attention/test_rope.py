import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.models.attention.rope import rotary_angles, rotate


def test_pairs_are_split_as_in_wan():
    angles = rotary_angles(jnp.arange(12), 3, 2, 2, 128, theta=10000.0, fold_views=False)
    assert angles.shape == (12, 64)
    # 128: 22 pairs turn with time, 21 with rows, 21 with columns; token 1 is row 0, column 1.
    np.testing.assert_allclose(angles[8, :22], 2 * 10000.0 ** (-np.arange(22) / 22), rtol=1e-6)
    assert not angles[1, :43].any()
    np.testing.assert_allclose(angles[1, 43:], 10000.0 ** (-np.arange(21) / 21), rtol=1e-6)


def test_views_fold_into_time():
    angles = rotary_angles(jnp.arange(12), 4, 1, 1, 12, theta=100.0, fold_views=True)
    np.testing.assert_allclose(angles[:, 0], np.arange(12))
    plain = rotary_angles(jnp.arange(12), 4, 1, 1, 12, theta=100.0, fold_views=False)
    np.testing.assert_allclose(plain[8:], plain[:4])


def test_rotation_is_a_complex_product():
    x = jax.random.normal(jax.random.key(0), (2, 12, 2, 12))
    angles = rotary_angles(jnp.arange(12), 3, 2, 2, 12, theta=100.0, fold_views=False)
    numbers = np.asarray(x[..., ::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)[None, :, None]
    turned = np.asarray(rotate(x, angles))
    np.testing.assert_allclose(turned[..., ::2], np.real(numbers), atol=1e-5)
    np.testing.assert_allclose(turned[..., 1::2], np.imag(numbers), atol=1e-5)
