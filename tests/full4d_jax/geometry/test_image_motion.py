"""Pixels that move, and their velocities, before cameras whose pictures come from formulas."""

import cv2
import numpy as np
import pytest

from full4d_jax.geometry.image_motion import (
    carried_motion,
    moving_pixels,
    pixel_velocities,
)

HEIGHT, WIDTH, FRAMES = 96, 128, 4
TIMES = np.linspace(0, 1, FRAMES)  # in clips
LENS = np.array([[100.0, 0, WIDTH / 2], [0, 100.0, HEIGHT / 2], [0, 0, 1]])
WALL, HALF = 4.0, 0.35  # z of the wall, and half the side of the square
STANDS = np.tile(np.eye(4), (FRAMES, 1, 1))


def texture(seed):
    """Smooth noise, (256 256 3) in [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=(256, 256, 3))
    return np.clip(0.5 + 3 * cv2.GaussianBlur(noise, (0, 0), 4), 0, 1).astype(
        np.float32
    )


def painted(x, y, scale, image):
    """Colours of an image where points of a plane lie, `scale` pixels of it a unit."""
    column, row = (np.asarray(128 + scale * a, np.float32) for a in (x, y))
    return cv2.remap(
        image, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )


def film(velocity, poses=STANDS):
    """A square that moves before a wall, both upright: frames, depth, and where the square is.

    It is at (-.2, 0, 2) at first, and moves by `velocity` in a clip; cameras do not turn.
    """
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([(x - WIDTH / 2) / 100, (y - HEIGHT / 2) / 100])
    frames, depth, square = [], [], []
    for time, pose in zip(np.linspace(0, 1, FRAMES), poses, strict=True):
        eye = -pose[:3, 3]
        place = np.array([-0.2, 0.0, 2.0]) + time * np.asarray(velocity)
        near, far = place[2] - eye[2], WALL - eye[2]
        u, v = (eye[i] + near * rays[i] - place[i] for i in (0, 1))
        inside = (abs(u) < HALF) & (abs(v) < HALF)
        wall = painted(eye[0] + far * rays[0], eye[1] + far * rays[1], 40, texture(0))
        frames.append(np.where(inside[..., None], painted(u, v, 80, texture(1)), wall))
        depth.append(np.where(inside, near, far))
        square.append(inside)
    return np.stack(frames), np.stack(depth), np.stack(square)


def sliding():
    """Poses of a camera that slides to the side and forwards."""
    poses = STANDS.copy()
    poses[:, 0, 3] = np.linspace(0, -0.15, FRAMES)
    poses[:, 2, 3] = np.linspace(0, -0.2, FRAMES)
    return poses


@pytest.mark.parametrize("velocity", [(0.4, 0.1, 0), (0.3, -0.1, 0.3)], ids=str)
@pytest.mark.parametrize("poses", [STANDS, sliding()], ids=["standing", "sliding"])
def test_a_square_has_its_velocity_and_the_wall_none(velocity, poses):
    frames, depth, square = film(velocity, poses)
    found = pixel_velocities(frames, depth, LENS, poses, square, TIMES)
    tolerance = 0.05 * float(np.linalg.norm(velocity))
    np.testing.assert_allclose(np.median(found[square], 0), velocity, atol=tolerance)
    error = np.linalg.norm(found - velocity, axis=-1)[square]
    assert np.mean(error < 4 * tolerance) > 0.9
    assert not found[~square].any()
    wall = pixel_velocities(frames, depth, LENS, poses, ~square, TIMES)[~square]
    assert np.median(np.linalg.norm(wall, axis=-1)) < tolerance


@pytest.mark.parametrize("count", [4, 5])
def test_a_pixel_moves_by_its_distance_from_the_middle_of_its_sorted_values(count):
    frames = (
        np.random.default_rng(0).integers(0, 256, (2, count, 3, 4, 3)).astype(np.uint8)
    )
    ordered = np.sort(frames.astype(float), axis=1)
    middle = (ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2
    distance = np.abs(frames - middle[:, None])
    moving = moving_pixels(frames, 40)
    np.testing.assert_array_equal(moving, (distance > 40).any(-1))
    assert 0.1 < moving.mean() < 0.95
    one_view = moving_pixels(frames[0], 40)
    np.testing.assert_array_equal(one_view, moving[0])


SIDE = 64
STEP = 4  # pixels that the square moves right between instants
TURN = 5  # pixels that all moves right between views


def room(views: int = 3, instants: int = 3) -> np.ndarray:
    """A square of noise that moves before a wall of noise, both shifted from view to view."""
    rng = np.random.default_rng(0)

    def noise(side: int) -> np.ndarray:
        coarse = rng.integers(0, 255, (side // 4, side // 4, 3), np.uint8)
        return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)

    wall = noise(2 * SIDE)
    square = noise(20)
    frames = np.empty((views, instants, SIDE, SIDE, 3), np.uint8)
    for view, instant in np.ndindex(views, instants):
        shift = TURN * view
        frames[view, instant] = wall[:SIDE, SIDE // 2 - shift :][:, :SIDE]
        left = 14 + shift + STEP * instant
        frames[view, instant, 20:40, left : left + 20] = square
    return frames


def test_the_square_moves_in_other_views_as_in_the_first():
    motion = carried_motion(room())
    assert not motion[0].any()
    assert not motion[:, 0].any()
    for view in (1, 2):
        for instant in (1, 2):
            left = 14 + TURN * view + STEP * instant
            inside = motion[view, instant, 24:36, left + 4 : left + 16]
            expected = [-STEP * instant, 0, -TURN * view, 0]
            np.testing.assert_allclose(
                np.median(inside[..., :4], (0, 1)), expected, atol=1
            )
            assert not motion[view, instant, :12, :, :2].any()  # nothing changes there
            assert not motion[view, instant, :12, :, 4].any()
