"""Hidden points: a card passes before a wall, seen by a camera that stands still."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.generation.seen_before import seen_before, splat_both
from input_pipeline.cameras import intrinsics_from_fov, orbit

TIMES, SIDE = 6, 48
WALL, CARD = 1.5, 0.7
LENS = jnp.asarray(intrinsics_from_fov(60.0, SIDE, SIDE), jnp.float32)
STILL = jnp.broadcast_to(jnp.eye(4), (TIMES, 4, 4))


def clip():
    """A card 7 pixels wide goes 7 to the right at every instant."""
    wall = np.random.default_rng(0).uniform(-0.9, 0.2, (SIDE, SIDE, 3)).astype(np.float32)
    frames = np.tile(wall, (TIMES, 1, 1, 1))
    depth = np.full((TIMES, SIDE, SIDE), WALL, np.float32)
    card = np.zeros(depth.shape, bool)
    for t in range(TIMES):
        card[t, 10:40, 3 + 7 * t : 10 + 7 * t] = True
    frames[card], depth[card] = 0.9, CARD
    return wall, frames, depth, card


def test_what_the_card_hides_is_known_from_other_instants():
    wall, frames, depth, card = clip()
    hidden = seen_before(jnp.asarray(frames), jnp.asarray(depth), STILL)
    np.testing.assert_array_equal(hidden.depth, np.where(card, WALL, 0))
    np.testing.assert_allclose(hidden.frame, wall)


def test_unknown_depth_is_taken_from_other_instants():
    _, frames, depth, card = clip()
    depth[2, :5] = 0
    hidden = seen_before(jnp.asarray(frames), jnp.asarray(depth), STILL)
    expected = card.copy()
    expected[2, :5] = True
    np.testing.assert_array_equal(hidden.depth, np.where(expected, WALL, 0))


def test_nothing_is_remembered_where_the_camera_moves():
    _, frames, depth, _ = clip()
    moving = jnp.asarray(orbit(np.arange(6.0), np.zeros(6)), jnp.float32)
    assert not seen_before(jnp.asarray(frames), jnp.asarray(depth), moving).depth.any()


def test_hidden_points_fill_holes_and_neither_cracks_nor_what_is_before_them():
    wall, frames, depth, card = clip()
    hidden = seen_before(jnp.asarray(frames), jnp.asarray(depth), STILL)
    target = jnp.asarray(orbit(12.0, 0.0), jnp.float32)

    def drawn(below):
        given = jnp.asarray(frames[3]), jnp.asarray(depth[3]), (hidden.frame, below)
        return [np.asarray(x) for x in splat_both(*given, LENS, target, LENS)]

    colours, mask, disparity = drawn(hidden.depth[3])
    before, old_mask, _ = drawn(jnp.zeros_like(hidden.depth[3]))
    assert (1 - old_mask).sum() > 150  # the hole beside the card
    assert (1 - mask).sum() < (1 - old_mask).sum() - 100
    np.testing.assert_array_equal(colours[old_mask > 0], before[old_mask > 0])
    closed = (mask > 0) & (old_mask == 0)
    assert colours[closed].max() < 0.25  # the wall's, not the card's
    assert disparity[closed].max() < 1 / CARD - 0.3

    near = jnp.zeros((SIDE, SIDE)).at[10:40, 10:40].set(CARD)  # a slanted view opens cracks in it
    slanted = jnp.asarray(orbit(0.0, 0.0, 0.55), jnp.float32)  # nearer: points lie apart
    given = jnp.full((SIDE, SIDE, 3), 0.9), near, (jnp.asarray(wall), jnp.full((SIDE, SIDE), WALL))
    colours, mask, _ = splat_both(*given, LENS, slanted, LENS)
    inside = np.asarray(colours)[16:32, 16:32]
    assert ((inside == 0) | (inside > 0.85)).all()
