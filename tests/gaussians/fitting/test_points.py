"""Points to start from: strewn where two cameras see, on the hull of an outline, with colours."""

import numpy as np
import pytest

from gaussians.fitting.points import NEAREST_SHARE, Views, at_points, carve, seen_colors, strew
from input_pipeline.cameras import intrinsics_from_fov, orbit

SIDE = 32
RADIUS = 0.2  # of a ball in the middle of the cameras, who stand at distance 1


@pytest.fixture
def around():
    """Twelve cameras all around the origin."""
    numbers = np.arange(12)
    poses = orbit(30.0 * numbers, 60 * np.sin(numbers), 1.0, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(40.0, SIDE, SIDE)
    return Views(np.stack([lens] * 12), poses, SIDE, SIDE)


def outlines(views):
    """Masks of the ball: the ray of a pixel passes the origin at less than its radius."""
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2) / views.intrinsics[0, 0, 0]
    passes = np.hypot(x, y) / np.sqrt(x**2 + y**2 + 1)
    return np.stack([passes < RADIUS] * len(views.intrinsics))


def test_strewn_points_are_seen_by_two_cameras_and_close_to_none(around):
    points = strew(around, np.zeros(3), 500, np.random.default_rng(0))
    assert points.shape == (500, 3)
    assert (around.pixels(points)[0].sum(0) >= 2).all()
    assert np.linalg.norm(points[:, None] - around.eyes, axis=-1).min() >= NEAREST_SHARE
    again = strew(around, np.zeros(3), 500, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)


def test_the_hull_of_a_ball_is_its_surface(around):
    away = np.linalg.norm(carve(outlines(around), around, np.zeros(3)), axis=1)
    assert len(away) > 500
    # Cameras between which nobody stands leave a little more than the ball.
    assert away.min() > 0.85 * RADIUS
    assert np.median(away) == pytest.approx(RADIUS, rel=0.1)
    assert away.max() < 1.5 * RADIUS


def test_one_camera_that_misses_the_subject_leaves_nothing_and_no_mask_neither(around):
    masks = outlines(around)
    masks[3] = False
    assert not len(carve(masks, around, np.zeros(3)))
    assert not len(carve(0 * masks > 0, around, np.zeros(3)))


def test_colours_are_the_mean_of_the_pixels_that_see_a_point(around):
    pictures = np.zeros((12, SIDE, SIDE, 3))
    pictures[:6] = [1.0, 0.5, 0.0]
    seen, unseen = seen_colors(np.array([[0, 0, 0], [50.0, 50, 50]]), pictures, around)
    np.testing.assert_allclose(seen, [0.5, 0.25, 0])
    np.testing.assert_allclose(unseen, 0.5)


def test_gaussians_at_points_are_small_and_faint_and_come_and_go_by_their_moments():
    points = np.stack(np.meshgrid(*[np.arange(3.0)] * 3), -1).reshape(-1, 3)
    colors = np.tile([0.2, 0.4, 0.6], (27, 1))
    always = at_points(points, colors, sh_degree=1)
    np.testing.assert_allclose(np.exp(always.gaussians.log_scales), 0.5, rtol=1e-5)
    assert always.gaussians.harmonics.shape == (27, 4, 3)
    for time in (0.0, 1.0):
        shares = 1 / (1 + np.exp(-np.asarray(always.at(time).logit_opacities)))
        np.testing.assert_allclose(shares, 0.1, rtol=0.02)
    passing = at_points(points, colors, moments=np.zeros(27), duration=0.1)
    assert np.asarray(passing.at(0.0).logit_opacities).max() > -3
    assert np.asarray(passing.at(1.0).logit_opacities).max() < -5
