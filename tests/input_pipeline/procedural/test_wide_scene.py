"""Wide scenes: exact depth, cameras of all kinds, furniture that stays in one piece."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.procedural.cutouts import Cutouts
from input_pipeline.procedural.looks import Looks
from input_pipeline.procedural.rich_world import BALLS, CRATES, sample_rich_world
from input_pipeline.procedural.scene_cameras import camera_towards
from input_pipeline.procedural.wide_scene import (
    MAX_ROLL,
    PITCH_RANGE,
    plain_walls,
    random_rotation,
    rearranged,
    wide_frame,
)

draw = partial(wide_frame, height=16, width=24)
TABLE, LEGS = BALLS, slice(BALLS + 3 + CRATES, BALLS + 3 + CRATES + 4)


@pytest.fixture(scope="module")
def frames():
    """Forty small frames, wider than high."""
    render = jax.jit(draw)
    return jax.tree.map(lambda *x: np.stack(x), *(render(i) for i in range(40)))


def test_frames_differ_and_their_depth_has_median_one(frames):
    assert frames.frame.shape == (40, 16, 24, 3)
    assert frames.frame.min() >= 0
    assert frames.frame.max() <= 1
    assert len(np.unique(frames.frame.reshape(40, -1).round(2), axis=0)) == 40
    np.testing.assert_allclose(np.median(frames.depth, (1, 2)), 1, rtol=1e-5)


def test_most_frames_show_relief_and_some_are_steep(frames):
    """A camera before a wall sees none; one that looks down sees the nearest at the bottom."""
    assert np.mean(np.log(frames.depth).std((1, 2)) > 0.15) > 0.8
    slopes = np.log(frames.depth[:, :2].mean((1, 2)) / frames.depth[:, -2:].mean((1, 2)))
    assert slopes.max() > 1
    assert slopes.min() < 0.1


def test_cameras_turn_as_far_as_promised():
    """Pitch of the axis, and roll of the right-hand side, against the horizon."""
    turns = np.asarray(jax.vmap(random_rotation)(jax.random.split(jax.random.key(0), 400)))
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.eye(3)[None] + 0 * turns, atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-5)
    pitch = np.degrees(np.arcsin(-turns[:, 1, 2]))  # y points down
    roll = np.degrees(np.arcsin(turns[:, 1, 0] / np.cos(np.radians(pitch))))
    assert np.abs(roll).max() <= MAX_ROLL + 0.01
    assert np.abs(roll).max() > MAX_ROLL / 2
    assert pitch.min() < PITCH_RANGE[0] + 10
    assert pitch.max() > PITCH_RANGE[1] - 10
    assert pitch.min() > PITCH_RANGE[0] - 0.01
    level = np.asarray(camera_towards(jnp.zeros(3), jnp.array([0, 0, 1.0]), -jnp.eye(3)[1]))
    np.testing.assert_allclose(level, np.eye(4), atol=1e-6)


def test_tables_keep_their_legs_and_stand_on_the_floor():
    before = jax.jit(sample_rich_world)(jax.random.key(3))
    after = jax.jit(rearranged)(jax.random.key(4), before)
    size = np.asarray(after.still.size[TABLE] / before.still.size[TABLE])
    np.testing.assert_allclose(size, size[0], rtol=1e-5)
    assert abs(size[0] - 1) > 0.01
    spans = [
        np.asarray(world.still.center)[LEGS] - np.asarray(world.still.center)[TABLE]
        for world in (before, after)
    ]
    np.testing.assert_allclose(spans[1], spans[0] * size[0], atol=1e-5)
    floor = after.room_max[1]
    feet = after.still.center[LEGS, 1] + after.still.size[LEGS, 1]
    np.testing.assert_allclose(feet, floor - 0.01 * size[0], atol=1e-4)


def test_walls_of_rooms_become_plain_and_the_sky_does_not():
    worlds = jax.jit(jax.vmap(sample_rich_world))(jax.random.split(jax.random.key(5), 60))
    painted = jax.jit(jax.vmap(plain_walls))(jax.random.split(jax.random.key(6), 60), worlds)
    changed = (painted.materials.color_a != worlds.materials.color_a).any(-1)
    assert not changed[worlds.outdoor].any()
    walls = changed[~worlds.outdoor][:, -6]
    assert 0.2 < walls.mean() < 0.8
    assert not changed[:, :-6].any()


def test_photos_change_colours_and_no_depth(frames):
    render = jax.jit(lambda i, x: draw(i, looks=Looks(textures=x)))
    photo = jnp.tile(jnp.array([1.0, 0.0, 0.0]), (2, 8, 8, 1))
    moved = [np.abs(render(i, photo).frame - frames.frame[i]).max() for i in range(6)]
    assert max(moved) > 0.2
    np.testing.assert_array_equal(render(3, photo).depth, frames.depth[3])


@pytest.mark.slow
def test_cards_are_nearer_than_what_they_hide(frames):
    card = Cutouts(jnp.ones((1, 4, 4, 4)), jnp.ones(1), jnp.ones(1, bool))
    render = jax.jit(lambda i, x: draw(i, looks=Looks(cutouts=x)))
    changed = 0
    for i in range(6):
        before, after = jax.tree.map(lambda x: x[i], frames), render(i, card)  # noqa: B023
        moved = np.abs(after.frame - before.frame).max(-1) > 1e-6
        changed += moved.any()
        if 0 < moved.mean() < 0.4:  # the same pixel is the median's, or nearly
            ratio = after.depth / before.depth
            assert ratio[moved].max() < 1.02 * np.median(ratio[~moved])
    assert changed > 2
