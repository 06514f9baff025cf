"""The upsampler: what it does before training, which sizes it takes, and that all of it learns."""

from functools import partial

import jax
import numpy as np

from full4d_jax.models import upsampler
from full4d_jax.models.upsampler import Guidance, UpsamplerNetConfig

TINY = UpsamplerNetConfig((8, 8, 16))
# One program for all arrays of a size, where each operation would else be a program of its own.
init_params = jax.jit(upsampler.init_params, static_argnums=0)
upsample = jax.jit(upsampler.upsample, static_argnums=0)


def inputs(height: int, width: int) -> Guidance:
    rng = np.random.default_rng(0)
    mask = (rng.random((2, height, width)) < 0.6).astype(np.float32)
    coarse, projected, filled = rng.random((3, 2, height, width, 3), np.float32)
    arrays = coarse, projected * mask[..., None], mask, np.ones_like(mask), filled
    return Guidance(*map(jax.device_put, arrays))


@partial(jax.jit, static_argnums=0)
def random_params(scale: float):
    return jax.tree.map(
        lambda x: x + scale * jax.random.normal(jax.random.key(x.size), x.shape),
        upsampler.init_params(TINY, jax.random.key(1)),
    )


def test_an_untrained_one_pastes_the_projection_over_the_mean_of_both_fillings():
    seen = inputs(96, 64)
    made = upsample(TINY, init_params(TINY, jax.random.key(1)), seen)
    coarse, projected, mask, _, filled = map(np.asarray, seen)
    share = mask[..., None] / (1 + np.exp(-2))
    base = (coarse + filled) / 2
    np.testing.assert_allclose(made, base + share * (projected - base), atol=1e-6)


def test_far_from_the_projection_nothing_varies_fast():
    """With random weights; beside the projection details are left."""
    seen = inputs(96, 64)
    mask = np.zeros((2, 96, 64), np.float32)
    mask[:, 80:] = 1
    filled = jax.device_put(np.zeros((2, 96, 64, 3), np.float32))
    noise = seen._replace(coarse=filled, filled=filled, mask=jax.device_put(mask))
    enlarged = np.asarray(upsample(TINY, random_params(0.1), noise))
    steps = np.abs(np.diff(enlarged, axis=2)).mean((0, 2, 3))
    assert steps[:48].max() < 0.2 * steps[76:].min()
