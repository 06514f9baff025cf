"""Cards: where they stand, what they show, and their depth."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.procedural.cards import CARDS, UPPER_BODY_SHARE, Cards, paint_cards, stand_cards
from input_pipeline.procedural.cutouts import Cutouts
from input_pipeline.procedural.looks import Looks
from input_pipeline.procedural.rich_world import INSTANCES
from input_pipeline.procedural.scene import procedural_scene
from input_pipeline.procedural.shapes import Vector

SIZE, FOCAL = 40, 40.0
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def cutouts():
    """Two opaque pictures, red above blue; the second has no feet."""
    half = jnp.concatenate([jnp.tile(jnp.array(c), (8, 16, 1)) for c in (RED, BLUE)])
    picture = jnp.concatenate([half, jnp.ones((16, 16, 1))], -1)
    return Cutouts(jnp.stack([picture] * 2), jnp.ones(2), jnp.array([True, False]))


def camera_rays():
    """Rays of a camera at the origin that looks along z."""
    centers = (jnp.arange(SIZE) + 0.5 - SIZE / 2) / FOCAL
    x, y = jnp.meshgrid(centers, centers)
    return Vector(x.ravel(), y.ravel(), jnp.ones(SIZE**2))


def one_card(foot, angle=0.0, picture=0, shown=1.0):
    """One red and blue card of half a unit by one; the others are not there."""
    rest = jnp.zeros(CARDS).at[0].set(shown)
    side = jnp.array([np.cos(angle), 0.0, -np.sin(angle)])
    return Cards(
        jnp.tile(jnp.array(foot), (CARDS, 1)),
        jnp.tile(jnp.array([0.5, 0.0, 0.0]), (CARDS, 1)),
        jnp.tile(side, (CARDS, 1)),
        jnp.tile(jnp.array([0.5, 1.0]), (CARDS, 1)),
        jnp.full(CARDS, picture),
        rest,
        jnp.ones((CARDS, 3)),
    )


def painted(cards, cutouts, behind=10.0, time=0.0):
    """Colours (r q 3), depth and mask (r q) before a grey wall."""
    seen = jnp.full((3, SIZE**2), 0.5), jnp.full(SIZE**2, behind)
    place = jnp.float32(time), jnp.zeros(3), camera_rays()
    color, depth, which = jax.jit(paint_cards)(cards, cutouts, *place, seen)
    square = SIZE, SIZE
    return color.T.reshape(*square, 3), depth.reshape(square), which.reshape(square) == 0


def test_card_has_its_size_colours_and_depth(cutouts):
    color, depth, mask = painted(one_card([0.0, 0.5, 2.0]), cutouts)
    assert mask.any(0).sum() == 10  # half a unit at distance 2
    assert mask.any(1).sum() == 20
    np.testing.assert_allclose(depth[mask], 2, rtol=1e-6)
    np.testing.assert_array_equal(depth[~mask], 10)
    top = int(np.argmax(mask.any(1)))
    np.testing.assert_allclose(color[top + 4, 20], RED, atol=1e-5)
    np.testing.assert_allclose(color[top + 16, 20], BLUE, atol=1e-5)


def test_turned_card_is_a_plane(cutouts):
    _, depth, mask = painted(one_card([0.1, 0.5, 2.0], angle=0.6), cutouts)
    rows, columns = np.nonzero(np.asarray(mask))
    z = np.asarray(depth)[rows, columns]
    x = (columns + 0.5 - SIZE / 2) / FOCAL * z
    np.testing.assert_allclose(np.sin(0.6) * (x - 0.1) + np.cos(0.6) * (z - 2), 0, atol=1e-5)
    assert np.ptp(z) > 0.1


def test_card_glides(cutouts):
    now, then = (painted(one_card([0.0, 0.5, 2.0]), cutouts, time=t)[2] for t in (0.0, 0.5))
    np.testing.assert_array_equal(now[:, 5:25], then[:, 10:30])  # a quarter of a unit


def test_card_behind_the_wall_or_the_camera_is_not_seen(cutouts):
    assert not painted(one_card([0.0, 0.5, 2.0]), cutouts, behind=1.9)[2].any()
    assert not painted(one_card([0.0, 0.5, -2.0]), cutouts)[2].any()


def test_what_has_no_feet_goes_on_below(cutouts):
    color, _, mask = painted(one_card([0.0, 0.5, 2.0], picture=1, shown=UPPER_BODY_SHARE), cutouts)
    red = np.asarray(mask & (color[..., 0] > 0.5)).any(1).sum()
    assert abs(red - 0.5 * UPPER_BODY_SHARE * 20) <= 0.5
    assert mask.any(1).sum() == 20


def test_cards_stand_on_the_floor_before_the_camera(cutouts):
    def draw(key):
        return stand_cards(key, cutouts, jnp.eye(4), jnp.float32(0.5), jnp.float32(0.3))

    cards = jax.vmap(draw)(jax.random.split(jax.random.key(0), 50))
    np.testing.assert_allclose(cards.foot[..., 1], 0.3, rtol=1e-6)
    assert cards.foot[..., 2].min() > 0
    np.testing.assert_allclose(np.linalg.norm(cards.side, axis=-1), 1, rtol=1e-5)
    toward = cards.foot[..., [0, 2]] / np.linalg.norm(cards.foot[..., [0, 2]], axis=-1)[..., None]
    across = np.abs((toward * cards.side[..., [0, 2]]).sum(-1))
    assert across.max() < 0.7  # sine of the largest turn
    assert 0.3 < (cards.shown > 0).mean() < 0.6


def test_all_views_of_a_clip_see_the_same_cards(cutouts):
    """Points of a card, taken from one view to another, lie on it there or are hidden."""
    size = {"height": SIZE, "width": SIZE, "worlds": "rich"}
    angles = jnp.array([10.0])
    draw = partial(procedural_scene, views=2, frames=2, azimuths=angles, orbit=True, **size)
    render = jax.jit(lambda i: draw(i, looks=Looks(cutouts=cutouts)))
    found, same = 0, 0
    for index in range(6):
        clip = jax.device_get(render(index))
        card = clip.instances >= INSTANCES
        for time in range(2):
            rows, columns = np.nonzero(card[0, time])
            z = clip.depth[0, time, rows, columns]
            k, pose = clip.intrinsics[0], clip.world_to_camera[1, time]
            pixels = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
            x, y, there = pose[:3, :3] @ (np.linalg.inv(k) @ pixels * z) + pose[:3, 3:]
            u, v = (k[:2, :2] @ np.stack([x, y]) / there + k[:2, 2:]).astype(int)
            inside = (u >= 0) & (u < SIZE) & (v >= 0) & (v < SIZE)
            ahead = clip.depth[1, time, v[inside], u[inside]] / there[inside]
            assert np.mean(ahead > 1.05) < 0.15 or inside.sum() < 20  # nothing lies behind it
            same += (np.abs(ahead - 1) < 0.05).sum()
            found += inside.sum()
    assert found > 100
    assert same > 0.6 * found
