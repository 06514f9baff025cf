"""Projection against known geometry, and hole filling."""

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import cameras_of
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project,
    push_pull,
    splat,
)
from input_pipeline.procedural.scene import procedural_scene

K = jnp.array([[16.0, 0, 8], [0, 16.0, 8], [0, 0, 1]])


def test_the_identity_returns_the_frame():
    frame = jax.random.uniform(jax.random.key(0), (16, 16, 3))
    found, mask, disparity = splat(frame, jnp.full((16, 16), 2.0), K, jnp.eye(4), K)
    np.testing.assert_allclose(found, frame, atol=1e-5)
    np.testing.assert_allclose(disparity, 0.5, atol=1e-6)
    assert bool(mask.all())


def test_a_sideways_step_shifts_by_its_disparity():
    frame = jax.random.uniform(jax.random.key(0), (16, 16, 3))
    move = jnp.eye(4).at[0, 3].set(0.25)  # f t / z = 16 / 4 * 0.25 = 1 pixel at depth 4
    found, mask, _ = splat(frame, jnp.full((16, 16), 4.0), K, move, K)
    np.testing.assert_allclose(found[:, 1:], frame[:, :-1], atol=1e-4)
    assert not mask[:, 0].any()


def test_the_nearer_point_wins_and_unknown_depth_is_left_out():
    frame = jnp.zeros((1, 4, 1)).at[0, 1].set(1.0)
    intrinsics = jnp.array([[4.0, 0, 2], [0, 4.0, 0.5], [0, 0, 1]])
    depth = jnp.array([[8.0, 2.0, 8.0, 0.0]])
    move = jnp.eye(4).at[0, 3].set(0.5)  # 1 pixel at depth 2, 1/4 at depth 8
    found, mask, _ = splat(frame, depth, intrinsics, move, intrinsics)
    assert float(found[0, 2, 0]) == 1.0  # the bright, near point covers the dark, far one
    assert float(mask[0, 3]) == 1.0  # a quarter of the far point at column 2
    assert float(found[0, 3, 0]) == 0.0


def test_exact_depth_reprojects_a_procedural_scene():
    """Where a target pixel sees a source point, colours agree: a static scene is only shaded."""
    clip = jax.jit(
        lambda i: procedural_scene(i, views=3, frames=1, azimuths=jnp.array([8.0, -8.0]))
    )(3)
    projection = project(clip.frames[0], clip.depth[0], cameras_of(clip))
    seen = np.asarray(projection.mask) > 0
    error = np.abs(np.asarray(projection.frames - clip.frames[1:]))[seen]
    assert 0.5 < seen.mean() < 1
    assert np.median(error) < 0.01
    disparity = np.asarray(projection.disparity)[seen] * np.asarray(clip.depth[1:])[seen]
    assert abs(np.median(disparity) - 1) < 0.005


def test_holes_are_filled_from_the_background():
    frames = (
        jnp.zeros((1, 1, 8, 8, 1)).at[..., :3, :].set(1.0)
    )  # near and bright | hole | far, dark
    mask = jnp.ones((1, 1, 8, 8)).at[..., 3:5].set(0.0)
    disparity = mask * jnp.where(jnp.arange(8) < 3, 2.0, 0.25).reshape(1, 1, 1, 8)
    filled = fill_holes(Projection(frames, mask, disparity))
    np.testing.assert_allclose(filled[0, 0, :, :3, 0], 1)
    assert float(filled[0, 0, :, 3:5].max()) < 0.5


def test_push_pull_keeps_constants_and_survives_emptiness():
    weights = jax.random.bernoulli(jax.random.key(0), 0.1, (8, 12, 1)).astype(jnp.float32)
    filled = push_pull(jnp.full((8, 12, 2), 0.3), weights)
    np.testing.assert_allclose(filled, 0.3, atol=1e-5)
    assert bool(jnp.isfinite(push_pull(jnp.zeros((8, 8, 3)), jnp.zeros((8, 8, 1)))).all())
