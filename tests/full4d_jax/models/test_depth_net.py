"""The head that joins two networks: at first their mean, later both scales and the share count."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.models import depth_net
from full4d_jax.models.depth_net import DepthNetConfig
from full4d_jax.models.fast_depth import fast_log_disparity, load_fast_depth
from full4d_jax.models.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.source.depth.estimate import TIEFENRAUSCH

SMALL = DepthNetConfig(fine=8, coarse=12)


@pytest.fixture(scope="module")
def params():
    trained = depth_net.init_params(SMALL, load_tiefenrausch(TIEFENRAUSCH), jax.random.key(0))
    return {**trained, "rooms": load_fast_depth()}


def with_head(params, **layers):
    return {**params, "head": {**params["head"], **layers}}


def test_it_begins_as_the_mean_of_both_and_its_head_sees_around(params):
    frames = jax.random.uniform(jax.random.key(1), (1, 64, 32, 3), minval=-1)
    compute = jax.jit(partial(depth_net.log_depth, SMALL))
    before = compute(params, frames)
    world = np.asarray(jax.jit(log_disparity)(params["trunk"], frames))
    room = np.asarray(jax.jit(fast_log_disparity)(params["rooms"], frames))
    rough = (world - world.mean() + room - room.mean()) / 2
    np.testing.assert_allclose(before, -rough, atol=1e-5)

    # The share of either can become all.
    share = params["head"]["share"]
    alone = with_head(params, share={**share, "bias": share["bias"] + 30})
    np.testing.assert_allclose(compute(alone, frames), room.mean() - room, atol=1e-5)

    kernel = params["head"]["leave"]["kernel"]
    noise = 0.1 * jax.random.normal(jax.random.key(2), kernel.shape)
    noisy = with_head(params, leave={"kernel": noise, "bias": jnp.zeros(4)})
    assert (compute(noisy, frames) - before).std() > 0.01
    # Nothing depends on the trunk's free constant.
    trunk = dict(params["trunk"])
    trunk["leave"] = {**trunk["leave"], "bias": trunk["leave"]["bias"] + 0.1}
    moved = {**noisy, "trunk": trunk}
    np.testing.assert_allclose(compute(moved, frames), compute(noisy, frames), atol=1e-5)
