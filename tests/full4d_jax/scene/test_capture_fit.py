"""A capture is fitted from the start that it allows, before the background that is found."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from textured_room import HALF, make_room

from full4d_jax.cameras import Cameras
from full4d_jax.config import LiftConfig
from full4d_jax.grid import Grid, Origin
from full4d_jax.media.pictures import to_uint8
from full4d_jax.scene.capture_fit import (
    find_background,
    fit_arrays,
    lift_capture,
    to_floats,
)
from full4d_jax.scene.initial_gaussians import find_start, match_points
from full4d_jax.scene.scene_reader import background_in, from_arrays
from full4d_jax.session.errors import InputError
from full4d_jax.source.capture_source import held_out_pictures
from gaussians.fitting.relocation import dead
from input_pipeline.pinhole import intrinsics_from_fov, orbit
from input_pipeline.transforms import decode

SIDE, VIEWS = 32, 9
SETTINGS = LiftConfig(steps=300, capacity=300)
GREEN = np.array([26, 204, 51], np.float32) / 255
RED = np.array([0.9, 0.2, 0.1], np.float32)


def ball(instants=1, behind=GREEN):
    """Nine cameras at distance 1 around a red ball, and the ball's outline in their pictures."""
    numbers = np.arange(VIEWS)
    poses = orbit(40.0 * numbers, 40 * np.sin(numbers), 1.0, pivot=(0.0, 0.0, 0.0))
    lens = intrinsics_from_fov(40.0, SIDE, SIDE).astype(np.float32)
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5 - SIDE / 2) / lens[0, 0]
    inside = np.hypot(x, y) / np.sqrt(x**2 + y**2 + 1) < 0.2
    picture = np.where(inside[..., None], RED, behind)
    frames = np.tile(np.float32(picture), (VIEWS, instants, 1, 1, 1))
    poses = np.repeat(poses[:, None], instants, 1).astype(np.float32)
    cameras = Cameras(np.stack([lens] * VIEWS), poses, SIDE, SIDE)
    origin = np.full((VIEWS, instants), Origin.REAL, np.uint8)
    origin[held_out_pictures(VIEWS, instants, "auto")] = Origin.HELD_OUT
    grid = Grid(
        frames=to_uint8(frames),
        origin=origin,
        times=np.arange(instants) / 8,
        cameras=cameras,
    )
    return grid, np.broadcast_to(inside, frames.shape[:4])


def start(given, subject, depth=None, cloud=None, hidden=0, **changes):
    frames, instants = (
        to_floats(given.frames),
        np.arange(given.frames.shape[1] - hidden),
    )
    seen = frames, depth, subject, given.cameras, instants, cloud
    return find_start(replace(SETTINGS, **changes), *seen, jax.random.key(0))


def places(scene):
    """Distances of the visible Gaussians from the middle."""
    alive = ~np.asarray(dead(scene.gaussians))
    return np.linalg.norm(np.asarray(scene.gaussians.means)[alive], axis=1)


@pytest.mark.slow
def test_matched_points_of_a_still_room_lie_on_its_walls():
    example = make_room(views=8, height=192, width=256, frames=1)
    room = decode(example, height=192, width=256)
    cameras = Cameras(room.intrinsics, room.world_to_camera, 192, 256)
    positions, _ = match_points(room.frames / np.float32(255), cameras, 10_000)
    off = np.abs(np.abs(positions) - HALF).min(1)
    assert len(positions) >= 1000
    assert np.quantile(off, 0.9) < 0.05


@pytest.mark.parametrize("motion", ["freetime", "deformation"])
def test_the_start_is_what_there_is(motion):
    given, inside = ball(instants=3)
    hull = start(given, inside, motion=motion)
    assert "hull" in hull.note
    assert not hull.sharp
    np.testing.assert_allclose(np.median(places(hull.scene)), 0.2, rtol=0.15)
    depth = np.where(inside, np.float32(0.85), 0)
    near = start(given, inside, depth, motion=motion)
    assert (near.sharp, near.note) == (True, "the capture's depth")
    cloud = np.array([[0.1, 0, 0, 1, 0, 0], [0, 0.1, 0, 0, 1, 0]])
    points = start(given, inside, cloud=cloud, motion=motion)
    assert points.note == "2 points of the capture"
    np.testing.assert_allclose(places(points.scene), 0.1, rtol=1e-5)
    anywhere = start(given, None, hidden=1, motion=motion)
    assert (anywhere.sharp, anywhere.note) == (True, "pixels at random depth")
    for shown in (ball()[0], given):
        strewn = start(shown, None, motion=motion)
        assert "150 points strewn" in strewn.note  # half of the capacity
        assert not strewn.sharp
        assert len(strewn.scene.gaussians.means) == 300
        assert places(strewn.scene).max() > 0.5


@pytest.mark.slow
def test_a_ball_before_a_plain_background_is_seen_from_elsewhere():
    said = []
    given, _ = ball()
    found = lift_capture(SETTINGS, given, jax.random.key(0), say=said.append)
    told = "hull; background: one colour, 26 204 51; held out: views 4 (--held_out"
    assert told in said[0]
    np.testing.assert_allclose(found.background, GREEN, atol=1e-6)
    assert found.held_out_psnr > 22
    steps, reached = zip(*found.watched, strict=True)
    assert steps[-1] == SETTINGS.steps
    assert reached[-1] > 22
    arrays = fit_arrays(found)
    np.testing.assert_allclose(background_in(arrays), GREEN)
    np.testing.assert_array_equal(
        from_arrays(arrays).gaussians.means, found.scene.gaussians.means
    )


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
    told = f"lift.background: found {wanted}, expected masks"
    with pytest.raises(InputError, match=told):
        find_background(wanted, frames, None)
