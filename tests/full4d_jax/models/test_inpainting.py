"""The inpainting network changes the hole alone."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.models.inpainting import InpaintingNetConfig, init_params, inpaint

SIZES = InpaintingNetConfig(widths=(8, 8, 8), dilations=(1, 2))


def test_only_the_hole_changes():
    pictures = jax.random.uniform(jax.random.key(0), (2, 32, 40, 3), minval=-1.0)
    hole = jnp.zeros((2, 32, 40)).at[0, 8:24, 8:30].set(1).at[1, :, 30:].set(1)
    params = jax.tree.map(lambda x: x + 0.03, init_params(SIZES, jax.random.key(1)))
    whole = jax.jit(inpaint, static_argnums=0)(SIZES, params, pictures, hole)
    known = np.asarray(hole) == 0
    np.testing.assert_array_equal(whole[known], pictures[known])
    assert np.abs(whole - pictures)[~known].mean() > 0.01
    assert np.abs(whole).max() <= 1
