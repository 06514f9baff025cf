"""Points that stay known: a card passes before a wall, and a camera slides past it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from full4d_jax.generation.static_points import (
    StaticPoints,
    behind_subjects,
    fill_open,
    find_static_points,
    splat_both,
    splat_known,
)
from full4d_jax.grid import CleanPlate
from input_pipeline.pinhole import intrinsics_from_fov, orbit, unproject

draw_both = jax.jit(splat_both)
draw_known = jax.jit(splat_known, static_argnums=(2, 3))
TIMES, SIDE = 6, 48
WALL, CARD = 1.5, 0.7
LENS = intrinsics_from_fov(60.0, SIDE, SIDE)
STILL = np.tile(np.eye(4), (TIMES, 1, 1))
SLIDING = STILL.copy()
# To the right, 2 pixels of the wall at every instant.
SLIDING[:, 0, 3] = -0.072 * np.arange(TIMES)


def clip(poses):
    """A card 7 pixels wide goes 7 to the right in the picture, before a wall of coarse squares."""
    squares = np.random.default_rng(0).uniform(-0.9, 0.2, (40, 40, 3))
    frames = np.zeros((TIMES, SIDE, SIDE, 3), np.float32)
    depth = np.full((TIMES, SIDE, SIDE), WALL, np.float32)
    card = np.zeros(depth.shape, bool)
    for t in range(TIMES):
        x, y = (
            np.floor(unproject(depth[t], LENS, poses[t])[..., :2] * 6 + 15)
            .astype(int)
            .T
        )
        frames[t] = squares[x, y].swapaxes(0, 1)
        card[t, 10:40, 3 + 7 * t : 10 + 7 * t] = True
    frames[card], depth[card] = 0.9, CARD
    return jnp.asarray(frames), jnp.asarray(depth), card


def shown(known: StaticPoints, t: int, pose):
    """Return where points that are hidden at an instant lie in the source's picture."""
    points = (
        np.asarray(known.points)[np.asarray(known.hidden[t])] @ pose[:3, :3].T
        + pose[:3, 3]
    )
    x, y = np.floor((points @ LENS.T)[:, :2] / points[:, 2:]).astype(int).T
    inside = (x >= 0) & (x < SIDE) & (y >= 0) & (y < SIDE)
    picture = np.zeros((SIDE, SIDE), bool)
    picture[y[inside], x[inside]] = True
    return picture, (~inside).sum(), points


@pytest.mark.parametrize("poses", [STILL, SLIDING])
def test_the_wall_is_known_where_the_card_hides_it(poses):
    frames, depth, card = clip(poses)
    known = find_static_points(frames, depth, LENS, poses)
    # No card.
    assert np.asarray(known.colours)[np.asarray(known.hidden).any(0)].max() < 0.25
    for t in range(TIMES):
        picture, beyond, points = shown(known, t, poses[t])
        np.testing.assert_allclose(points[:, 2], WALL, atol=1e-4)
        assert not (picture & ~card[t]).any()
        assert (picture & card[t]).sum() > 0.8 * card[t].sum()
        assert (beyond > 4 * SIDE) == (poses is SLIDING)


def test_a_clean_plate_shows_the_wall_behind_a_card_that_stays():
    moving, _, _ = clip(STILL)
    card = np.zeros((SIDE, SIDE), bool)
    card[10:40, 20:27] = True
    wall = np.asarray(moving[0]).copy()
    wall[10:40, 3:10] = np.asarray(moving[5])[10:40, 3:10]
    frame = np.where(card[..., None], np.float32(0.9), wall)
    near = np.where(card, np.float32(CARD), np.float32(WALL))
    frames, depth = (jnp.asarray(np.stack([x] * TIMES)) for x in (frame, near))
    shown_wall = np.round(127.5 * (wall + 1)).astype(np.uint8)
    plate = CleanPlate(shown_wall, np.where(card, np.float32(WALL), np.float32(0)), 0)
    hidden = behind_subjects(plate, frames, depth, LENS, STILL)
    assert hidden is not None
    # And none of those that pad them.
    assert (np.asarray(hidden.hidden).sum(1) == card.sum()).all()
    lens, eye = jnp.asarray(LENS, jnp.float32), jnp.eye(4)
    target = jnp.asarray(orbit(12.0, 0.0), jnp.float32)
    known = find_static_points(frames, depth, LENS, STILL).at(2)
    alone = draw_both(frames[2], depth[2], known, (lens, eye), (lens, target))
    plate_drawn = draw_known(hidden.at(2), (lens, target), SIDE, SIDE)
    colours, mask, disparity = fill_open(alone, plate_drawn)
    filled = (np.asarray(mask) > 0) & (np.asarray(alone.mask) == 0)
    assert filled.sum() > 100
    assert np.asarray(colours)[filled].max() < 0.25, "the wall's colours"
    np.testing.assert_allclose(np.asarray(disparity)[filled], 1 / WALL, rtol=0.2)
    assert behind_subjects(None, frames, depth, LENS, STILL) is None
