"""What lies behind a capture's subject is found, or refused where it cannot be."""

import numpy as np
import pytest

from full4d_jax.scene.capture_fit import find_background
from full4d_jax.session.errors import InputError


def pictures(behind):
    """Two views of a noisy square before something."""
    frames = np.empty((2, 1, 16, 16, 3), np.float32)
    frames[:] = behind
    inside = np.zeros((2, 1, 16, 16), bool)
    inside[..., 5:11, 4:12] = True
    frames[inside] = np.random.default_rng(0).uniform(0, 0.8, (inside.sum(), 3))
    return frames, inside


NOISE = np.random.default_rng(1).uniform(0, 1, (2, 1, 16, 16, 3))


def test_a_plain_background_is_found_with_the_outline():
    frames, inside = pictures((0.2, 0.7, 0.3))
    found = find_background("auto", frames, None)
    np.testing.assert_allclose(found.color, (0.2, 0.7, 0.3), atol=1e-6)
    np.testing.assert_array_equal(found.subject, inside)
    assert (found.random, found.ignored) == (False, False)


def test_a_scene_fills_the_pictures():
    for masks in (None, pictures(NOISE)[1]):
        found = find_background("auto", pictures(NOISE)[0], masks)
        assert found.color == (0, 0, 0)
        assert found.subject is None
        assert found.note == "part of the scene"


@pytest.mark.parametrize("wanted", ["random", "unknown"])
def test_masks_say_what_is_random_or_not_fitted(wanted):
    frames, inside = pictures(NOISE)
    found = find_background(wanted, frames, inside)
    np.testing.assert_array_equal(found.subject, inside)
    assert (found.random, found.ignored) == (wanted == "random", wanted == "unknown")
    with pytest.raises(InputError, match=f"lift.background: found {wanted}, expected masks"):
        find_background(wanted, frames, None)
