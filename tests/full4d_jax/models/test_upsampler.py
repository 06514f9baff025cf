"""The upsampler: what it does before training, which sizes it takes, and that all of it learns."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.config.upsampler import UpsamplerNetConfig
from full4d_jax.models.upsampler import Guidance, init_params, upsample

TINY = UpsamplerNetConfig((8, 8, 16))


def given(height: int, width: int) -> Guidance:
    keys = jax.random.split(jax.random.key(0), 4)
    mask = jax.random.bernoulli(keys[2], 0.6, (2, height, width)).astype(jnp.float32)
    coarse, projected = (jax.random.uniform(k, (2, height, width, 3)) for k in keys[:2])
    return Guidance(coarse, projected * mask[..., None], mask, jnp.ones_like(mask))


def test_an_untrained_one_pastes_the_projection_over_the_enlarged_frame():
    seen = given(24, 40)
    made = upsample(TINY, init_params(TINY, jax.random.key(1)), seen)
    share = jax.nn.sigmoid(2.0) * seen.mask[..., None]
    expected = seen.coarse + share * (seen.projected - seen.coarse)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_frame_comes_out_as_its_surroundings_do():
    params = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape),
        init_params(TINY, jax.random.key(1)),
    )
    seen = given(64, 128)
    whole = upsample(TINY, params, seen)
    left = upsample(TINY, params, jax.tree.map(lambda x: x[:, :, :96], seen))
    np.testing.assert_allclose(whole[:, :, :32], left[:, :, :32], atol=1e-5)


def test_after_two_steps_every_weight_has_moved():
    seen, truth = given(16, 16), jnp.ones((2, 16, 16, 3))
    params = start = init_params(TINY, jax.random.key(1))
    slope = jax.jit(jax.grad(lambda p: jnp.mean((upsample(TINY, p, seen) - truth) ** 2)))
    for _ in range(3):
        params = jax.tree.map(lambda x, g: x - 0.1 * g, params, slope(params))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), start, params)
    assert all(jax.tree.leaves(moved))
