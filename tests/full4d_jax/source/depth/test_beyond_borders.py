"""Beyond its borders a picture keeps light and texture, and its lines go straight on."""

import numpy as np
import pytest

from full4d_jax.source.depth.beyond_borders import beyond_borders, crossing_slopes
from full4d_jax.source.depth.steep_lines import steep_stretches

ROWS, COLUMNS = 16, 24


def beyond(picture):
    flat = np.ones(picture.shape[:2], np.float32)
    wide, _ = beyond_borders(picture, flat, ROWS, COLUMNS)
    return wide.astype(float)


def stripes(height, width, slope, top=0, left=0):
    """Lines of this slope, 24 rows apart, of a plane that goes on in all directions."""
    y, x = np.mgrid[-top : height + top, -left : width + left]
    waves = np.sin(2 * np.pi * (y - slope * x) / 24)
    return (128 + 12 * waves).round().astype(np.uint8)[..., None].repeat(3, -1)


def test_a_picture_keeps_its_light_and_its_detail():
    rng = np.random.default_rng(0)
    light = np.linspace(60, 190, 96)[None, :, None]
    grey = (light + rng.normal(0, 12, (64, 96, 1))).clip(0, 255)
    picture = grey.astype(np.uint8).repeat(3, -1)
    wide = beyond(picture)
    assert (wide[16:80, 24:120] == picture).all()
    sides = wide[16:80, :24], wide[16:80, -24:]
    for side, near in zip(sides, (picture[:, :8], picture[:, -8:]), strict=True):
        assert abs(side.mean() - near.mean()) < 10, (
            "a mirror image gets darker or brighter"
        )
        # A filling has no detail.
        assert side.std((0, 1)).min() > 0.5 * near.std((0, 1)).max()


@pytest.mark.parametrize("slope", [-0.6, 0.3])
def test_lines_go_straight_on(slope):
    picture = stripes(128, 160, slope)
    true = stripes(128, 160, slope, ROWS, COLUMNS).astype(float)
    np.testing.assert_allclose(
        crossing_slopes(picture, COLUMNS)[16:-16], slope, atol=0.1
    )
    mirrored = np.pad(picture, ((ROWS, ROWS), (COLUMNS, COLUMNS), (0, 0)), "reflect")
    for columns in (np.s_[:COLUMNS], np.s_[-COLUMNS:]):
        part = np.s_[ROWS + 16 : -ROWS - 16, columns]  # corners are asked of nobody
        error = abs(beyond(picture)[part] - true[part]).mean()
        assert error < 0.5 * abs(mirrored[part] - true[part]).mean()


@pytest.mark.parametrize("side", [0, 3])
@pytest.mark.parametrize("slope", [-2.5, 1.7])
def test_steep_lines_go_straight_on_at_every_side(side, slope):
    picture = stripes(128, 160, slope)
    turned = np.ascontiguousarray(np.rot90(picture, side))
    wide, _ = beyond_borders(turned, np.ones(turned.shape[:2], np.float32), 20, 20)

    def right(values):
        return values[20:-20, -20:].astype(float)

    y, x = np.mgrid[:128, 1:21]
    crosses = abs(y - slope * x - 64) < 48
    true = right(stripes(128, 160, slope, 20, 20))
    error = abs(right(np.rot90(wide, -side)) - true)[crosses].mean()
    mirrored = right(np.pad(picture, ((20, 20), (20, 20), (0, 0)), "reflect"))
    assert error < 0.6 * abs(mirrored - true)[crosses].mean()


def fan(left, right):
    """Boards below row 100 that come together at column 20, row -150; above it a wall."""
    y, x = np.mgrid[:256, left:right]
    boards = 128 + 24 * np.sin(60 * (x - 20.0) / (y + 150.0))
    return (
        np.where(y < 100, 230, boards).round().astype(np.uint8)[..., None].repeat(3, -1)
    )


def test_boards_of_a_floor_go_straight_on():
    picture = fan(0, 180)
    (stretch,) = steep_stretches(picture, 40)
    assert abs(stretch.top - 100) <= 6
    assert abs(stretch.upper) < 0.1, "the floor ends at the wall"
    rows = np.arange(stretch.top, 256)
    np.testing.assert_allclose(
        stretch.slopes[20:], ((rows + 150) / 160)[20:], atol=0.25
    )
    wide, _ = beyond_borders(picture, np.ones((256, 180), np.float32), 0, 40)
    true = fan(-40, 220).astype(float)
    d = np.arange(1, 41)
    crosses = np.mgrid[:256, :40][0] > 130 + 2.2 * d
    error = abs(wide[:, -40:].astype(float) - true[:, -40:])[crosses].mean()
    mirrored = np.pad(picture, ((0, 0), (0, 40), (0, 0)), "reflect")[:, -40:]
    assert error < 0.5 * abs(mirrored - true[:, -40:])[crosses].mean()
    assert (wide[:90, -40:] > 220).all(), "the wall stays"
    # Boards go on in all of the floor.
    assert wide[112:, -40:].std() > 0.5 * true[112:, -40:].std()


def test_disparity_goes_on_along_the_lines():
    picture = stripes(128, 160, 0.5)
    y, x = np.mgrid[:128, :160]
    disparity = np.where(y > 64 + 0.5 * (x - 160), 2.0, 1.0)
    _, wide = beyond_borders(picture, disparity.astype(np.float32), ROWS, COLUMNS)
    far = wide[ROWS : ROWS + 128, -1]
    edge = np.argmax(far > 1.5)
    assert 64 + 0.5 * COLUMNS - 5 < edge < 64 + 0.5 * COLUMNS + 5
