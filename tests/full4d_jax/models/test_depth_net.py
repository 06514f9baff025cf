"""The head that sharpens Tiefenrausch: at first nothing changes, later both scales count."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.config.depth import DepthNetConfig
from full4d_jax.models import depth_net
from full4d_jax.models.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.source.depth.estimate import TIEFENRAUSCH

SMALL = DepthNetConfig(fine=8, coarse=12)


@pytest.fixture(scope="module")
def params():
    return depth_net.init_params(SMALL, load_tiefenrausch(TIEFENRAUSCH), jax.random.key(0))


def test_it_begins_as_tiefenrausch_and_its_head_sees_around(params):
    frames = jax.random.uniform(jax.random.key(1), (1, 64, 32, 3), minval=-1)
    compute = jax.jit(partial(depth_net.log_depth, SMALL))
    before = compute(params, frames)
    np.testing.assert_array_equal(before, -jax.jit(log_disparity)(params["trunk"], frames))
    kernel = params["head"]["leave"]["kernel"]
    noise = 0.1 * jax.random.normal(jax.random.key(2), kernel.shape)
    head = {**params["head"], "leave": {"kernel": noise, "bias": jnp.zeros(4)}}
    added = compute({**params, "head": head}, frames) - before
    assert added.std() > 0.01
    # What the head adds does not depend on the trunk's free constant.
    trunk = dict(params["trunk"])
    trunk["leave"] = {**trunk["leave"], "bias": trunk["leave"]["bias"] + 0.1}
    moved = {"trunk": trunk, "head": head}
    np.testing.assert_allclose(
        compute(moved, frames), compute({**params, "head": head}, frames) - 0.1, atol=1e-5
    )


def test_no_head_is_tiefenrausch_alone(params):
    bare = DepthNetConfig(fine=0)
    assert depth_net.init_params(bare, params["trunk"], jax.random.key(0)).keys() == {"trunk"}
