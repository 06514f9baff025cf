"""Standing subjects are upright, on the ground."""

import numpy as np
from one_view import one_view

from full4d_jax.grid import Grid
from full4d_jax.source.depth.upright import MAX_BODY_RELIEF, stand_upright
from full4d_jax.source.subjects import Subjects

HEIGHT, WIDTH = 120, 160
FOCAL, HORIZON = 130.0, 40  # pixels, row
GROUND = 0.01  # disparity a row below the horizon
WALL = 0.2  # disparity
LENS = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
TOP, BOTTOM, LEFT, RIGHT = 20, 90, 70, 95  # of a person


def room() -> np.ndarray:
    rows = np.arange(HEIGHT)[:, None] + np.zeros((1, WIDTH))
    return np.maximum(WALL, GROUND * (rows - HORIZON))


def person(bottom: int = BOTTOM) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[TOP:bottom, LEFT:RIGHT] = True
    return mask


def clip(disparity: np.ndarray, mask: np.ndarray, kind: str = "person"):
    subjects = Subjects(mask[None].astype(np.int32), (kind,))
    return standing((1 / disparity)[None]), subjects


def standing(depth: np.ndarray) -> Grid:
    frames = np.zeros((*depth.shape, 3), np.uint8)
    return one_view(frames, depth, LENS)


def test_a_person_with_the_ground_s_depth_stands_up():
    mask = person()
    # As flat as the floor and the wall: it leans back.
    source, subjects = clip(room(), mask)
    upright = 1 / stand_upright(source, subjects)[0][mask]
    foot = GROUND * (BOTTOM - HORIZON)
    np.testing.assert_allclose(upright, foot, rtol=MAX_BODY_RELIEF + 0.03)
    leaning = source.known_depth[0, 0][mask]
    assert leaning.max() / leaning.min() > 2


def test_up_leans_the_plane_with_the_camera():
    mask = person()
    disparity = np.full((HEIGHT, WIDTH), WALL)
    disparity[mask] = 0.5
    source, subjects = clip(disparity, mask)
    angle = np.radians(20)  # the camera looks down: heads are nearer
    up = (0.0, -float(np.cos(angle)), -float(np.sin(angle)))
    upright = stand_upright(source, subjects, up=up)[0]
    rows = np.arange(TOP + 5, BOTTOM - 5)
    z = upright[rows, 82]
    y = (rows - HEIGHT / 2) / FOCAL * z
    slope = np.polyfit(y, z, 1)[0]  # of z on y along the body: up is (0, -cos, -sin)
    np.testing.assert_allclose(np.degrees(np.arctan(slope)), 20, atol=1)


def test_feet_are_steady_over_time():
    mask = person()
    flicker = np.array([1.0, 1.08, 0.93, 1.05, 0.96, 1.0])
    depth = np.stack([1 / (room() * x) for x in flicker])
    labels = np.stack([mask.astype(np.int32)] * len(flicker))
    upright = stand_upright(standing(depth), Subjects(labels, ("person",)))
    both = upright[:, BOTTOM - 3, 82], flicker
    after, before = (np.abs(np.diff(np.log(x))).max() for x in both)
    assert after < 0.5 * before
