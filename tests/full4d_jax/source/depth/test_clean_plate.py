"""The clean plate: what a camera at rest never sees goes on as the wall around it does."""

import numpy as np

from full4d_jax.grid import CleanPlate
from full4d_jax.source.backdrop import Backdrop
from full4d_jax.source.depth.clean_plate import BEYOND_SHARE, clean_plate, depth_within

TIMES, HEIGHT, WIDTH = 3, 48, 64
PERSON = slice(12, 40), slice(20, 34)
# A wall that recedes to the right.
WALL = np.broadcast_to(1 / np.linspace(1.0, 0.5, WIDTH), (HEIGHT, WIDTH)).astype(np.float32)


def hidden_all_the_time() -> tuple[np.ndarray, np.ndarray, np.ndarray, Backdrop]:
    """A person before the wall; other pictures show the wall but for its lowest rows."""
    depth = np.stack([WALL] * TIMES)
    labels = np.zeros(depth.shape, np.int32)
    for t in range(TIMES):
        labels[t][PERSON] = 1
        depth[t][PERSON] = 0.6
    frames = np.where(labels[..., None] > 0, 200, 90).astype(np.uint8).repeat(3, -1)
    known = np.ones((HEIGHT, WIDTH), bool)
    known[36:40, 20:34] = False
    added = labels[0] > 0
    added[36:40] = False
    backdrop = Backdrop(np.full((HEIGHT, WIDTH, 3), 90, np.float32), known, added)
    return depth, frames, labels, backdrop


def plate_of_person() -> CleanPlate:
    """The clean plate behind that person."""
    return clean_plate(*hidden_all_the_time(), lambda _: 7 * WALL**0.8)


def picture_within(plate: CleanPlate) -> np.ndarray:
    """The part of a plate that its camera sees."""
    rows = round(BEYOND_SHARE * HEIGHT)
    columns = round(BEYOND_SHARE * WIDTH)
    return plate.frame[rows : rows + HEIGHT, columns : columns + WIDTH].astype(int)


def test_depth_goes_on_behind_a_person_whatever_the_network_scales_by():
    plate = plate_of_person()
    behind = depth_within(plate, HEIGHT, WIDTH)
    is_known = behind > 0
    assert is_known[PERSON].all()
    assert not is_known[:8].any(), "an instant shows the wall there"
    np.testing.assert_allclose(behind[is_known], WALL[is_known], rtol=0.03)
    inner = picture_within(plate)
    assert (inner[12:36, 20:34] == 90).all(), "other pictures show the wall"
    assert (abs(inner - 90) <= 4).all(), "no picture shows the wall everywhere"


def test_the_wall_goes_on_beyond_the_borders():
    plate = plate_of_person()
    rows = round(BEYOND_SHARE * HEIGHT)
    columns = round(BEYOND_SHARE * WIDTH)
    assert plate.depth.shape == (HEIGHT + 2 * rows, WIDTH + 2 * columns)
    assert (plate.depth[:rows] > 0).all()
    np.testing.assert_allclose(plate.depth[:, :columns], WALL[0, 0], rtol=0.05)
    np.testing.assert_allclose(plate.depth[:, -columns:], WALL[0, -1], rtol=0.05)
