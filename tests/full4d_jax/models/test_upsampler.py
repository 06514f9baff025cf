"""The upsampler: what it does before training, which sizes it takes, and that all of it learns."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.config.upsampler import UpsamplerNetConfig
from full4d_jax.models.upsampler import Guidance, init_params, upsample

TINY = UpsamplerNetConfig((8, 8, 16))


def inputs(height: int, width: int) -> Guidance:
    keys = jax.random.split(jax.random.key(0), 4)
    mask = jax.random.bernoulli(keys[3], 0.6, (2, height, width)).astype(jnp.float32)
    coarse, projected, filled = (jax.random.uniform(k, (2, height, width, 3)) for k in keys[:3])
    return Guidance(coarse, projected * mask[..., None], mask, jnp.ones_like(mask), filled)


def test_an_untrained_one_pastes_the_projection_over_the_mean_of_both_fillings():
    seen = inputs(24, 40)
    made = upsample(TINY, init_params(TINY, jax.random.key(1)), seen)
    share = jax.nn.sigmoid(2.0) * seen.mask[..., None]
    base = (seen.coarse + seen.filled) / 2
    expected = base + share * (seen.projected - base)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_frame_comes_out_as_its_surroundings_do():
    params = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape),
        init_params(TINY, jax.random.key(1)),
    )
    seen = inputs(64, 128)
    whole = upsample(TINY, params, seen)
    left = upsample(TINY, params, jax.tree.map(lambda x: x[:, :, :96], seen))
    np.testing.assert_allclose(whole[:, :, :32], left[:, :, :32], atol=1e-5)


def test_after_two_steps_every_weight_has_moved():
    seen, truth = inputs(16, 16), jnp.ones((2, 16, 16, 3))
    params = start = init_params(TINY, jax.random.key(1))
    slope = jax.jit(jax.grad(lambda p: jnp.mean((upsample(TINY, p, seen) - truth) ** 2)))
    for _ in range(3):
        params = jax.tree.map(lambda x, g: x - 0.1 * g, params, slope(params))
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), start, params)
    assert all(jax.tree.leaves(moved))


def test_far_from_the_projection_nothing_varies_fast():
    """With random weights; beside the projection details are left."""
    params = jax.tree.map(
        lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape),
        init_params(TINY, jax.random.key(1)),
    )
    seen = inputs(96, 96)
    mask = jnp.zeros_like(seen.mask).at[:, 80:].set(1.0)
    filled = jnp.zeros_like(seen.filled)
    noise = seen._replace(coarse=filled, filled=filled, mask=mask)
    made = np.asarray(upsample(TINY, params, noise))
    steps = np.abs(np.diff(made, axis=2)).mean((0, 2, 3))
    assert steps[:48].max() < 0.2 * steps[76:].min()
