"""A second look at people: sharp where two windows agree, and nothing changed elsewhere."""

import cv2
import numpy as np
import pytest
from skimage import data

from full4d_jax.models.weights import load_shipped
from full4d_jax.source.silhouettes import look_again

CELL = 16  # pixels: shares are as coarse as DeepLab's


@pytest.fixture(scope="module")
def network() -> dict:
    return load_shipped("silhouette")


def picture(shift: int = 0) -> np.ndarray:
    """Return an astronaut on grey, moved to the right."""
    small = cv2.resize(data.astronaut(), (192, 192), interpolation=cv2.INTER_AREA)
    grey = np.full((192, 320, 3), 120, np.uint8)
    grey[:, 40 + shift : 40 + shift + 192] = small
    return grey


def coarse(frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    size = width // CELL, height // CELL
    cells = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return cv2.resize(cells, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def body(shift: int = 0) -> np.ndarray:
    """Return about where the astronaut is: a head on shoulders."""
    mask = np.zeros((192, 320), np.uint8)
    cv2.ellipse(mask, (125 + shift, 45), (26, 36), 0, 0, 360, 1, -1)
    corners = [[70, 191], [80, 95], [110, 75], [145, 75], [185, 100], [185, 191]]
    cv2.fillPoly(mask, [np.array(corners) + [shift, 0]], 1)
    return mask > 0


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_somebody_who_moves_takes_the_outline_along(network):
    first = look_again(network, picture(), coarse(picture(), body()))
    second = look_again(network, picture(48), coarse(picture(48), body(48)))
    assert first.decided.any()
    one = first.shares > 0.5
    other = np.roll(second.shares > 0.5, -48, 1)
    assert overlap(one, other) > 0.97
    # Hair and the suit's arm are hers, the flag behind her is not.
    assert one[20, 125]
    assert not one[60, 60]


def test_what_is_no_person_stays_as_it_was_seen(network):
    noise = np.random.default_rng(0).integers(0, 256, (192, 320, 3), dtype=np.uint8)
    shares = coarse(noise, body())
    people = look_again(network, noise, shares)
    assert not people.decided.any()
    np.testing.assert_array_equal(people.shares, shares)
