"""Pictures of the source between the instants, on a video of a square before a wall."""

import jax
import numpy as np
import pytest

from full4d_jax.scene.half_instants import (
    FIRST_DURATION_STEPS,
    TargetsBetween,
    with_instants_between,
)
from gaussians import initialize

HEIGHT, WIDTH, INSTANTS = 96, 128, 3
SIDE, WALL, SQUARE = 30, 2.0, 1.0  # pixels, and depths

LENS = np.array([[100.0, 0, WIDTH / 2], [0, 100.0, HEIGHT / 2], [0, 0, 1]])


def picture(
    left: float, *, color: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return colours, depth and mask of a textured square before a textured wall."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    wall = 0.3 + 0.1 * np.sin(x / 3) * np.sin(y / 4)
    square = (x >= left) & (x < left + SIDE) & (y >= 30) & (y < 30 + SIDE)
    inside = color * (0.8 + 0.15 * np.sin((x - left) / 2.5) * np.cos(y / 3))
    colors = np.where(square, inside, wall)[..., None].repeat(3, -1)
    return colors.astype(np.float32), np.where(square, SQUARE, WALL), square


def film(speed: float, between_color: float = 1.0):
    """Return a grid of one view whose square moves, and the pictures between its instants."""
    three = [picture(10 + i * speed) for i in range(3)]
    frames, depth, _ = (np.stack(x) for x in zip(*three, strict=True))
    middle = [picture(10 + (i + 0.5) * speed, color=between_color) for i in range(2)]
    poses = np.tile(np.eye(4), (1, INSTANTS, 1, 1))
    pictures = np.stack([x[0] for x in middle])
    between = TargetsBetween(pictures, np.array([0.25, 0.75]), poses[0, :2])
    return frames[None], depth[None], poses, between, [x[2] for x in middle]


def test_what_no_instant_explains_becomes_seeds_before_the_wall_for_half_as_long():
    """The square is dark between the instants, as nowhere else."""
    frames, depth, poses, between, squares = film(speed=4, between_color=0.1)
    grown = with_instants_between(frames, depth, poses, between, LENS)
    may_move = grown["may_move"][0, 1]
    assert may_move[squares[0]].mean() > 0.9
    assert np.median(grown["depth"][0, 1][may_move & squares[0]]) == pytest.approx(
        SQUARE
    )
    assert may_move[~squares[0]].mean() < 0.1
    instant, half = grown["durations"][0, :2]
    np.testing.assert_allclose(half, FIRST_DURATION_STEPS / 4, rtol=1e-6)
    shown = depth[0, 0] == SQUARE
    assert np.median(instant[shown]) == pytest.approx(FIRST_DURATION_STEPS / 4)


def test_the_square_keeps_its_velocity_beside_pictures_between():
    """The square moves by 8 pixels a clip; at depth 1, 100 pixels are one world unit."""
    frames, depth, poses, between, squares = film(speed=4)
    between.frames[0, :20, :20] = 1.0  # something fast, at one picture only
    grown = with_instants_between(frames, depth, poses, between, LENS)
    scene = initialize(
        **grown, intrinsics=LENS[None], capacity=4000, key=jax.random.key(0)
    )
    near = np.asarray(scene.gaussians.means[:, 2]) < 1.2
    moving = (np.asarray(scene.logit_gates) < 0) & near
    assert moving.any()
    velocity = np.median(np.asarray(scene.velocities)[moving, 0])
    assert velocity == pytest.approx(0.08, abs=0.01)


def test_before_a_camera_that_moves_the_square_alone_is_seeded_between_where_it_is():
    """The camera goes by 4 pixels of the wall and 8 of the square, which stays in the picture."""
    frames, depth, poses, between, squares = film(speed=0)
    own = poses.copy()
    own[0, :, 0, 3] = 0.08 * np.arange(INSTANTS)
    # It goes back, too: half a step later everything is .01 farther, half a step before nearer.
    own[0, :, 2, 3] = 0.02 * np.arange(INSTANTS)
    middle = (own[0, 1:] + own[0, :-1]) / 2
    moved = between._replace(world_to_camera=middle)
    passing = depth[0] == SQUARE
    moved.frames[:, squares[0]] *= 0.8
    grown = with_instants_between(frames, depth, own, moved, LENS, passing)
    may_move = grown["may_move"][0, 1]
    assert may_move[squares[0]].mean() > 0.9
    assert not may_move[~squares[0]].any()
    assert not grown["depth"][0, 1][~squares[0]].any()
    depths = grown["depth"][0, 1][may_move]
    np.testing.assert_allclose(np.median(depths), SQUARE - 0.01, rtol=1e-6)
    np.testing.assert_allclose(grown["world_to_camera"][0, 1::2], middle)
