"""The clean plate: what someone hides at all instants goes on as the wall around it does."""

import numpy as np

from full4d_jax.source.backdrop import Backdrop
from full4d_jax.source.depth.clean_plate import clean_plate

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


def test_depth_goes_on_behind_a_person_whatever_the_network_scales_by():
    depth, frames, labels, backdrop = hidden_all_the_time()
    plate = clean_plate(depth, frames, labels, backdrop, lambda _: 7 * WALL**0.8)
    assert plate is not None
    is_known = plate.depth > 0
    assert is_known[12:36, 20:34].all()
    assert is_known.sum() == 24 * 14, "only where no instant shows the wall, and a picture does"
    np.testing.assert_allclose(plate.depth[is_known], WALL[is_known], rtol=0.03)
    assert (plate.frame[is_known] == 90).all()


def test_there_is_none_where_everybody_moves_on():
    depth, frames, labels, backdrop = hidden_all_the_time()
    labels[1] = 0
    assert clean_plate(depth, frames, labels, backdrop, lambda _: WALL) is None
