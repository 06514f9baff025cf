"""More views and frames than the network sees at once, through `generate_grid`."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_weights import random_params

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig, ModelConfig, SamplerConfig
from full4d_jax.generation.generate import generate_grid
from full4d_jax.generation.prior import Prior
from full4d_jax.generation.sampling import view_groups
from input_pipeline.cameras import intrinsics_from_fov, orbit

VIEWS, FRAMES, SIDE = 12, 7, 8  # for a model of 4 views and 3 frames
KEY = jax.random.key(5)


@pytest.fixture(scope="module", params=["channels", "frames"])
def setting(request):
    """A config, random parameters, and a shot of 12 views by a camera that moves."""
    model = ModelConfig(width=16, layers=1, heads=1, ffn=16, refiner=0, patch=4)
    if request.param == "frames":
        model = dataclasses.replace(
            model, projection="frames", prediction="velocity", rope_folds_views=True
        )
    data = DataConfig(views=VIEWS, frames=FRAMES, height=SIDE, width=SIDE)
    rng = np.random.default_rng(0)
    poses = np.repeat(orbit(np.linspace(0, 55, VIEWS), np.zeros(VIEWS))[:, None], FRAMES, 1)
    steps = np.broadcast_to(np.eye(4), (FRAMES, 4, 4)).copy()
    steps[:, 0, 3] = np.linspace(0, 0.4, FRAMES)
    poses[0] = steps @ poses[0]
    lens = np.repeat(intrinsics_from_fov(55.0, SIDE, SIDE)[None], VIEWS, 0)
    frames = rng.uniform(-1, 1, (1, FRAMES, SIDE, SIDE, 3))
    shot = frames, rng.uniform(0.8, 1.2, frames.shape[:4]), Cameras(lens, poses, SIDE, SIDE)
    shot = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), shot)
    return Config(model=model, data=data), random_params(model, 0.2), shot


def grid(setting, sampler, views=None, frames=slice(None)):
    """The grid, or that of some of its views and frames, as if nothing else were there."""
    config, params, (video, depth, cameras) = setting
    cameras = cameras.views(np.arange(VIEWS) if views is None else np.array(views)).frames(frames)
    poses = cameras.world_to_camera
    poses = poses @ jnp.linalg.inv(poses[:1, :1])  # the world is the source at the first frame
    cameras = dataclasses.replace(cameras, world_to_camera=poses)
    prior = Prior(config.model, sampler, params)
    return generate_grid(prior, video[:, frames], depth[:, frames], cameras, KEY)[0]


@pytest.mark.slow
def test_one_call_is_that_of_every_group_and_window_alone(setting):
    found = grid(setting, SamplerConfig(group_views=4, window_frames=3))
    np.testing.assert_array_equal(found[:1], setting[2][0])
    starts = {0: range(3), 3: range(3, 6), 4: range(6, 7)}  # the last window has two frames already
    groups = view_groups(VIEWS - 1, 3, 1)[0] + 1
    once = [view for view in range(1, VIEWS) if (groups == view).sum() == 1]
    assert len(once) >= VIEWS - 2  # one view of 11 is in two groups of 3, and gets their mean
    for start, kept in starts.items():
        for members in groups:
            part = grid(setting, SamplerConfig(), [0, *members], slice(start, start + 3))
            for view in set(members) & set(once):
                alone = part[1 + list(members).index(view)]
                for t in kept:
                    np.testing.assert_allclose(found[view, t], alone[t - start], atol=1e-5)
    assert np.abs(found - grid(setting, SamplerConfig())).max() > 0.01
