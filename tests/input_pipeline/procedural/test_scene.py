"""Procedural scenes: pure in their index, posed as the conventions say, exact in depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import minimum_filter

from input_pipeline.procedural.scene import HELD_OUT_START, procedural_scene


@pytest.fixture(scope="module")
def clips():
    scene = jax.jit(lambda i: procedural_scene(i, views=3, frames=3, height=32, width=32))
    return [scene(i) for i in (0, 1, HELD_OUT_START, HELD_OUT_START + 1)], scene


def test_a_scene_is_a_function_of_its_index(clips):
    first, scene = clips
    for found, expected in zip(scene(1), first[1], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert float(jnp.abs(first[0].frames - first[1].frames).max()) > 0.1


def test_world_is_the_source_camera_and_unit_its_median_depth(clips):
    for clip in clips[0]:
        np.testing.assert_allclose(clip.world_to_camera[0, 0], np.eye(4), atol=1e-5)
        assert abs(float(jnp.median(clip.depth[0, 0])) - 1) < 1e-5
        rotation = np.asarray(clip.world_to_camera[..., :3, :3])
        np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
        assert bool((clip.depth > 0).all())
        assert 0 <= float(clip.frames.min()) <= float(clip.frames.max()) <= 1


def test_static_pixels_agree_between_views(clips):
    """Depth of a target, carried into the source, meets the surface that the source sees."""
    for clip in clips[0]:
        k, pose = np.asarray(clip.intrinsics[0]), np.asarray(clip.world_to_camera)
        y, x = np.mgrid[:32, :32] + 0.5
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(k).T
        points = np.asarray(clip.depth)[1, 0][..., None] * rays
        to_source = pose[0, 0] @ np.linalg.inv(pose[1, 0])
        points = points @ to_source[:3, :3].T + to_source[:3, 3]
        u, v, z = np.moveaxis(points @ k.T, -1, 0)
        inside = (z > 0.05) & (u / z > 0) & (u / z < 31.9) & (v / z > 0) & (v / z < 31.9)
        row, column = (v[inside] / z[inside]).astype(int), (u[inside] / z[inside]).astype(int)
        nearest = np.asarray(clip.depth)[0, 0][row, column]
        # Nothing lies in front of the surface that the source sees, up to a pixel.
        around = minimum_filter(np.asarray(clip.depth)[0, 0], 3)[row, column]
        assert (z[inside] > 0.9 * around - 0.05).mean() > 0.99
        assert (np.abs(z[inside] - nearest) < 0.1 * nearest).mean() > 0.4


def test_scene_0_is_what_the_shipped_weights_were_trained_on(clips):
    """Written down before the renderer was made faster; roundings may move a few edges."""
    clip = clips[0][0]
    blocks = np.asarray(clip.frames[0, 0]).reshape(2, 16, 2, 16, 3).mean((1, 3, 4)).ravel()
    np.testing.assert_allclose(blocks, [0.18684, 0.49384, 0.25578, 0.14025], atol=1e-3)
    np.testing.assert_allclose(float(jnp.median(clip.depth[1, 2])), 1.20674, atol=1e-3)
