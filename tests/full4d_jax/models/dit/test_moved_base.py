"""Pictures warped by whole and by parts of pixels, and the gradient in where."""

import jax
import numpy as np

from full4d_jax.models.dit.moved_base import warp_pictures

PICTURES = np.random.default_rng(0).random((2, 6, 7, 3)).astype(np.float32)


def everywhere(x: float, y: float) -> np.ndarray:
    return np.broadcast_to(np.array([x, y], np.float32), (2, 6, 7, 2))


def test_whole_pixels_are_found_and_the_border_repeats():
    np.testing.assert_array_equal(warp_pictures(PICTURES, everywhere(0, 0)), PICTURES)
    turned = np.asarray(warp_pictures(PICTURES, everywhere(2, -1)))
    np.testing.assert_allclose(turned[:, 1:, :-2], PICTURES[:, :-1, 2:], atol=1e-6)
    np.testing.assert_allclose(turned[:, 1:, -1], PICTURES[:, :-1, -1], atol=1e-6)
    far = np.asarray(warp_pictures(PICTURES, everywhere(99, 99)))
    corner = np.broadcast_to(PICTURES[:, -1:, -1:], far.shape)
    np.testing.assert_allclose(far, corner, atol=1e-6)


def test_between_pixels_and_their_gradient():
    turned = np.asarray(warp_pictures(PICTURES, everywhere(0.25, 0.5)))
    rows = (PICTURES[:, :-1] + PICTURES[:, 1:]) / 2
    expected = 0.75 * rows[:, :, :-1] + 0.25 * rows[:, :, 1:]
    np.testing.assert_allclose(turned[:, :-1, :-1], expected, atol=1e-6)
    gradient = jax.grad(lambda x: warp_pictures(PICTURES, x).sum())(
        everywhere(0.25, 0.5)
    )
    slope = (rows[:, :, 1:] - rows[:, :, :-1]).sum(-1)
    np.testing.assert_allclose(gradient[:, :-1, :-1, 0], slope, atol=1e-5)
