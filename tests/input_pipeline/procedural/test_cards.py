"""Cards: where they stand, what they show, and their depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.procedural.cards import CARDS, UPPER, Cards, paint_cards, stand_cards
from input_pipeline.procedural.cutouts import Cutouts
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
        jnp.tile(side, (CARDS, 1)),
        jnp.tile(jnp.array([0.5, 1.0]), (CARDS, 1)),
        jnp.full(CARDS, picture),
        rest,
        jnp.ones((CARDS, 3)),
    )


def painted(cards, cutouts, behind=10.0):
    """Colours (r q 3), depth and mask (r q) before a grey wall."""
    seen = jnp.full((3, SIZE**2), 0.5), jnp.full(SIZE**2, behind)
    color, depth, mask = jax.jit(paint_cards)(cards, cutouts, jnp.zeros(3), camera_rays(), seen)
    square = SIZE, SIZE
    return color.T.reshape(*square, 3), depth.reshape(square), mask.reshape(square)


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


def test_card_behind_the_wall_or_the_camera_is_not_seen(cutouts):
    assert not painted(one_card([0.0, 0.5, 2.0]), cutouts, behind=1.9)[2].any()
    assert not painted(one_card([0.0, 0.5, -2.0]), cutouts)[2].any()


def test_what_has_no_feet_goes_on_below(cutouts):
    color, _, mask = painted(one_card([0.0, 0.5, 2.0], picture=1, shown=UPPER), cutouts)
    red = np.asarray(mask & (color[..., 0] > 0.5)).any(1).sum()
    assert abs(red - 0.5 * UPPER * 20) <= 0.5
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
