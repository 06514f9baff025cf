"""Projection against known geometry, and hole filling."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import MeshConfig
from full4d_jax.generation import projection_guidance
from full4d_jax.generation.projection_guidance import (
    Projection,
    fill_holes,
    project_clips,
    project_video,
    splat,
)
from full4d_jax.models.dit.sharding import make_mesh
from input_pipeline.procedural.scene import procedural_scene

K = jnp.array([[16.0, 0, 8], [0, 16.0, 8], [0, 0, 1]])
# One program each: uncompiled, every operation of every shape is compiled on its own.
jitted_splat = jax.jit(splat)
jitted_fill_holes = jax.jit(fill_holes)


def test_a_sideways_step_shifts_by_its_disparity():
    frame = jax.random.uniform(jax.random.key(0), (16, 16, 3))
    move = jnp.eye(4).at[0, 3].set(0.25)  # f t / z = 16 / 4 * 0.25 = 1 pixel at depth 4
    drawn, mask, _ = jitted_splat(frame, jnp.full((16, 16), 4.0), K, move, K)
    np.testing.assert_allclose(drawn[:, 1:], frame[:, :-1], atol=1e-4)
    assert not mask[:, 0].any()


def test_exact_depth_reprojects_a_procedural_scene():
    """Target pixels that see a source point have its colour: a static scene is only shaded."""
    clip = jax.jit(
        lambda i: procedural_scene(
            i, views=3, frames=1, azimuths=jnp.array([8.0, -8.0])
        )
    )(3)
    projection = jax.jit(project_video)(clip.frames[0], clip.depth[0], cameras_of(clip))
    seen = np.asarray(projection.mask) > 0
    error = np.abs(np.asarray(projection.frames - clip.frames[1:]))[seen]
    assert 0.5 < seen.mean() < 1
    assert np.median(error) < 0.01
    disparity = (
        np.asarray(projection.disparity)[seen] * np.asarray(clip.depth[1:])[seen]
    )
    assert abs(np.median(disparity) - 1) < 0.005


def test_who_stands_close_before_a_wall_does_not_bleed_into_the_hole_beside_them():
    """A bright person, hole, dark wall; at the right border a hole that has one side only."""
    columns = jnp.arange(64)
    bright = jnp.where((columns >= 22) & (columns < 32), 1.0, 0.0)[None, None, None]
    frames = jnp.broadcast_to(bright[..., None], (1, 1, 64, 64, 1))
    is_hole = ((columns >= 32) & (columns < 38)) | (columns >= 60)
    mask = jnp.broadcast_to(1.0 - is_hole, (1, 1, 64, 64))
    disparity = mask * jnp.where(bright > 0, 1.3, 1.0)
    projection = Projection(frames * mask[..., None], mask, disparity)
    filled = jitted_fill_holes(projection)[0, 0, ..., 0]
    assert float(filled[:, 32:38].max()) < 0.1
    assert float(filled[:, 60:].max()) < 0.1
    np.testing.assert_allclose(filled[:, 22:32], 1)


@jax.jit
def clips():
    """Two clips of a source and three targets at five instants, by formula."""
    keys = jax.random.split(jax.random.key(1), 3)
    frames = jax.random.uniform(keys[0], (2, 5, 16, 16, 3))
    depth = jax.random.uniform(keys[1], (2, 5, 16, 16), minval=1.0, maxval=4.0)
    depth = jnp.where(depth < 1.5, 0.0, depth)
    poses = jnp.broadcast_to(jnp.eye(4), (2, 4, 5, 4, 4))
    poses = poses.at[..., :3, 3].set(0.3 * jax.random.normal(keys[2], (2, 4, 5, 3)))
    lenses = (
        jnp.broadcast_to(K, (2, 4, 3, 3))
        * jnp.array([1.0, 1.2, 0.8, 1.1])[None, :, None, None]
    )
    return frames, depth, Cameras(lenses.at[..., 2, 2].set(1.0), poses, 16, 16)


def test_devices_that_share_a_clip_divide_its_frames(monkeypatch):
    """Bit by bit what one device draws, where neither views nor instants divide."""
    monkeypatch.setattr(projection_guidance, "PIXELS_AT_ONCE", 16 * 16)
    frames, depth, cameras = clips()
    draw = jax.jit(partial(project_clips, fill=True))
    expected, alone = draw(frames, depth, cameras), draw.lower(frames, depth, cameras)
    with jax.set_mesh(make_mesh(MeshConfig(data=2, view=2, time=2))):
        found, shared = draw(frames, depth, cameras), draw.lower(frames, depth, cameras)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    # One device draws four of the fifteen frames of one of the two clips, with one to spare.
    trips = re.compile(r'"known_trip_count":{"n":"(\d+)"}')
    texts = [str(program.compile().as_text()) for program in (alone, shared)]
    loops = [set(trips.findall(text)) for text in texts]
    assert ["30" in found for found in loops] == [True, False]
    assert "4" in loops[1]
