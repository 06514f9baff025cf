"""What stands is upright, on the ground, with nothing between it and what is behind it."""

import numpy as np
import pytest

from full4d_jax.source.depth.upright import MAX_BODY_RELIEF, clear_rim, find_foot, stand_upright
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
    return (1 / disparity)[None], Subjects(mask[None].astype(np.int32), (kind,))


def test_a_person_with_the_ground_s_depth_stands_up():
    mask = person()
    depth, subjects = clip(room(), mask)  # as flat as the floor and the wall: it leans back
    upright = 1 / stand_upright(depth, subjects, LENS)[0][mask]
    foot = GROUND * (BOTTOM - HORIZON)
    np.testing.assert_allclose(upright, foot, rtol=MAX_BODY_RELIEF + 0.03)
    assert depth[0][mask].max() / depth[0][mask].min() > 2


def test_up_leans_the_plane_with_the_camera():
    mask = person()
    disparity = np.full((HEIGHT, WIDTH), WALL)
    disparity[mask] = 0.5
    depth, subjects = clip(disparity, mask)
    angle = np.radians(20)  # the camera looks down: heads are nearer
    up = (0.0, -float(np.cos(angle)), -float(np.sin(angle)))
    upright = stand_upright(depth, subjects, LENS, up=up)[0]
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
    upright = stand_upright(depth, Subjects(labels, ("person",)), LENS)
    feet = upright[:, BOTTOM - 3, 82]
    assert np.abs(np.diff(np.log(feet))).max() < 0.5 * np.abs(np.diff(np.log(flicker))).max()


def test_a_thing_in_reach_has_its_holder_s_depth():
    labels = person().astype(np.int32)
    labels[40:46, 100:106] = 2
    near, far = Subjects(labels[None], ("person", "thing")), labels.copy()
    depth = (1 / room())[None]
    held = stand_upright(depth, near, LENS)[0]
    np.testing.assert_allclose(held[42, 102], np.median(held[labels == 1]), rtol=0.02)
    far[labels == 2] = 0
    far[5:9, 4:8] = 2
    alone = stand_upright(depth, Subjects(far[None], ("person", "thing")), LENS)[0]
    np.testing.assert_allclose(alone[far == 2], depth[0][far == 2], rtol=1e-5)


def test_an_aeroplane_keeps_its_estimate_and_a_car_stands():
    mask = person()
    depth, subjects = clip(room(), mask, "aeroplane")
    flying = stand_upright(depth, subjects, LENS)[0]
    np.testing.assert_allclose(flying[mask], depth[0][mask], rtol=1e-5)
    car = stand_upright(depth, subjects._replace(kinds=("vehicle",)), LENS)[0]
    np.testing.assert_allclose(
        car[mask], 1 / (GROUND * (BOTTOM - HORIZON)), rtol=MAX_BODY_RELIEF + 0.03
    )


def test_fog_around_a_body_goes():
    mask = person()
    disparity = np.full((HEIGHT, WIDTH), WALL)
    disparity[mask] = 0.5
    smeared = disparity.copy()
    for ring, value in ((1, 0.4), (2, 0.3), (3, 0.25)):
        around = np.zeros_like(mask)
        around[TOP - ring : BOTTOM + ring, LEFT - ring : RIGHT + ring] = True
        smeared[around & (smeared == WALL)] = value
    clear = clear_rim(smeared, mask)
    between = (clear > 1.05 * WALL) & (clear < 0.47)
    assert ((smeared > 1.05 * WALL) & (smeared < 0.47)).sum() > 400
    assert not between.any()
    np.testing.assert_array_equal(clear[mask], smeared[mask])
    unknown = clear == 0
    assert 0 < unknown.sum() < 2.2 * (BOTTOM - TOP + RIGHT - LEFT)
    assert not unknown[mask].any()


@pytest.mark.parametrize("hidden", [False, True])
def test_ground_is_a_plane_at_the_foot(hidden):
    disparity, mask = room(), person()
    if hidden:  # a box beside the foot is not the ground
        disparity[80:100, 100:112] = 0.9
    foot = find_foot(disparity, mask, mask.astype(np.int32))
    np.testing.assert_allclose(foot.disparity, GROUND * (BOTTOM - 1 - HORIZON), rtol=0.03)
    assert foot.weight == 1
