"""The cascade: the source stays, the projection is that of the whole frame, sizes fit the prior."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig, ModelConfig
from full4d_jax.generation.cascade import (
    Upsampler,
    generate_large,
    generated_share,
    in_parts,
    pass_through,
)
from full4d_jax.generation.prior import prior_with
from full4d_jax.generation.projection_guidance import project_several, project_video
from full4d_jax.models.dit.dit import init_params
from full4d_jax.models.functional import draw_params
from full4d_jax.models.nets import unet
from input_pipeline.pinhole import intrinsics_from_fov, orbit

NET = unet.UpsamplerNetConfig((8, 8, 8))


def scene(
    frames: int = 2, height: int = 48, width: int = 80, azimuths=(0.0, -10.0, 10.0)
):
    """A source before a slanted wall, and three cameras."""
    key = jax.random.key(0)
    video = jax.random.uniform(key, (frames, height, width, 3), minval=-1)
    depth = jnp.broadcast_to(jnp.linspace(0.8, 1.5, width), (frames, height, width))
    lens = np.tile(intrinsics_from_fov(60.0, height, width), (3, 1, 1))
    poses = np.repeat(orbit(np.array(azimuths), np.zeros(3))[:, None], frames, 1)
    cameras = Cameras(lens.astype(np.float32), poses.astype(np.float32), height, width)
    return video, depth, cameras


def untrained():
    """A small prior and upsampler, and the config of both."""
    config = Config(
        model=ModelConfig(width=32, heads=2, ffn=32, layers=1, refiner=0),
        data=DataConfig(views=2, frames=1, height=16, width=16),
    )
    prior = prior_with(config, init_params(config.model, jax.random.key(0)))
    params = draw_params(unet.upsampling_net, NET, jax.random.key(1))
    upsampler = Upsampler(NET, params, 16, Path("upsampler"))
    return prior, upsampler, config


def test_the_grid_has_the_source_the_full_size_and_its_projection():
    prior, upsampler, config = untrained()
    video, depth, cameras = scene()
    given = video[None], depth[None], cameras
    grid, projection = generate_large(prior, upsampler, *given, jax.random.key(2))
    assert grid.shape == (3, 2, 48, 80, 3)
    np.testing.assert_array_equal(grid[0], video)
    expected = project_video(video, depth, cameras)
    np.testing.assert_allclose(projection.frames, expected.frames, atol=1e-5)
    np.testing.assert_array_equal(projection.mask, expected.mask)
    seen = expected.mask > 0
    near = np.abs(grid[1:] - expected.frames)[seen]
    assert np.median(near) < 0.15  # untrained, it pastes the projection
    # In groups of views and windows of frames as small as those of training.
    parts = in_parts(prior, config.data.size)
    assert (parts.sampler.group_views, parts.sampler.window_frames) == (2, 1)
    again, _ = generate_large(parts, upsampler, *given, jax.random.key(2))
    assert again.shape == grid.shape


def test_real_views_stay_and_show_what_the_source_does_not():
    prior, upsampler, _ = untrained()
    video, depth, cameras = scene(azimuths=(0.0, 20.0, 30.0))
    frames = jnp.stack([video, jax.random.uniform(jax.random.key(3), video.shape)])
    maps = jnp.stack([depth, depth])
    key = jax.random.key(2)
    grid, projection = generate_large(prior, upsampler, frames, maps, cameras, key)
    np.testing.assert_array_equal(grid[:2], frames)
    expected = project_several(frames, maps, cameras)
    # Points that stand still may add to it.
    seen = np.asarray(expected.mask > 0)
    assert (np.asarray(projection.mask)[seen] > 0).all()
    np.testing.assert_allclose(
        projection.frames[seen], expected.frames[seen], atol=1e-5
    )
    alone = generate_large(prior, upsampler, frames[:1], maps[:1], cameras, key)[1]
    assert float(projection.mask[1].sum()) > float(alone.mask[1].sum())


def test_the_generated_share_is_what_the_upsampler_adds_to_white():
    masks = np.ones((2, 1, 9, 12), np.float32)
    assert generated_share(jnp.asarray(masks)) == 0
    masks[1, 0, 2:5, 3:9] = 0
    projected = jnp.zeros((9, 12, 3))
    white = jnp.ones_like(projected)
    frames = [pass_through(white, projected, mask) for mask in jnp.asarray(masks[:, 0])]
    share = float(generated_share(jnp.asarray(masks)))
    assert share == pytest.approx(np.mean(frames), abs=1e-6)
    assert share > 18 / 216
