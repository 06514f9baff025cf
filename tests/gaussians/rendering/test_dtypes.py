"""Scenes of other float types: what they give, and in which type their gradients come."""

import jax
import jax.numpy as jnp
import numpy as np

from gaussians import Camera, Gaussians, render

CAMERA = Camera(
    jnp.eye(4).at[2, 3].set(4.0),
    jnp.array([[20.0, 0.0, 8.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]),
    width=16,
    height=16,
)


def scene(kind):
    rng = np.random.default_rng(0)
    shapes = ((20, 3), (20, 4), (20, 3), (20,), (20, 1, 3))
    return Gaussians(*(jnp.asarray(rng.uniform(-1, 1, shape), kind) for shape in shapes))


def test_bfloat16_is_drawn_in_float32():
    kind = jnp.bfloat16
    picture = render(scene(kind), CAMERA).rgb
    assert picture.dtype == jnp.float32
    same = jax.tree.map(lambda x: x.astype(jnp.float32), scene(kind))
    np.testing.assert_allclose(picture, render(same, CAMERA).rgb, atol=2e-2)
    gradient = jax.grad(lambda x: render(x, CAMERA).rgb.sum())(scene(kind))
    assert gradient.means.dtype == kind
    assert np.isfinite(gradient.means.astype(jnp.float32)).all()
