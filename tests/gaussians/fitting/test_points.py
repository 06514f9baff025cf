"""Points to start from: strewn where two cameras see, and on the hull of an outline."""

import numpy as np
import pytest

from gaussians.fitting.points import NEAREST_SHARE, Views, carve, strew
from input_pipeline.pinhole import intrinsics_from_fov, orbit

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
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2) / views.lenses[0, 0, 0]
    passes = np.hypot(x, y) / np.sqrt(x**2 + y**2 + 1)
    return np.stack([passes < RADIUS] * len(views.lenses))


def test_strewn_points_are_seen_by_two_cameras_and_close_to_none(around):
    points = strew(around, np.zeros(3), 500, np.random.default_rng(0))
    assert points.shape == (500, 3)
    assert (around.pixels(points)[0].sum(0) >= 2).all()
    assert np.linalg.norm(points[:, None] - around.eyes, axis=-1).min() >= NEAREST_SHARE


def test_the_hull_of_a_ball_is_its_surface(around):
    away = np.linalg.norm(carve(outlines(around), around, np.zeros(3)), axis=1)
    assert len(away) > 500
    # Cameras between which nobody stands leave a little more than the ball.
    assert away.min() > 0.85 * RADIUS
    assert np.median(away) == pytest.approx(RADIUS, rel=0.1)
    assert away.max() < 1.5 * RADIUS
