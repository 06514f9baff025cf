"""Paths and lenses that are found in pictures of a room against the true ones."""

import cv2
import numpy as np
import pytest
from handheld_clips import FRAMES, LENS, add_person, arc, film, path_error, shake

from full4d_jax.geometry.camera_path import (
    Tracks,
    find_camera_path,
    rests,
    track_points,
    tracks_within,
)
from full4d_jax.geometry.paths import travels
from full4d_jax.geometry.poses_between import find_poses_between
from input_pipeline.pinhole import orbit, rigid

# Of the focal length, where the search begins.
ASSUMED = np.array([[1.3, 1, 1], [1, 1.3, 1], [1, 1, 1]])


def tracks(frames):
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return track_points(gray, np.arange(len(gray)))


def lacking(depth):
    """Disparity of a network: another scale and shift in every frame, and 10 % of noise."""
    rng = np.random.default_rng(0)
    lines = rng.uniform(0.95, 1.05, (FRAMES, 1, 1)), rng.uniform(0, 0.1, (FRAMES, 1, 1))
    noise = np.stack(
        [cv2.GaussianBlur(x, (0, 0), 3) for x in rng.normal(0, 1, depth.shape)]
    )
    disparity = np.median(depth[0]) / depth * np.exp(0.1 * noise / noise.std())
    return lines[0] * disparity + lines[1]


def angle_between(found, true):
    """The largest angle between rotations of paths that start alike, degrees."""
    own = (true @ np.linalg.inv(true[0]))[:, :3, :3]
    turns = found[:, :3, :3] @ own.swapaxes(-1, -2)
    angles = [np.linalg.norm(cv2.Rodrigues(turn)[0]) for turn in turns]
    return float(np.degrees(max(angles)))


def test_a_camera_at_rest_is_known_by_what_stays():
    frames = film(np.tile(np.eye(4), (FRAMES, 1, 1)))[0]
    assert rests(tracks(add_person(frames, 0.5)), frames.shape[2])
    assert not rests(tracks(film(shake())[0]), frames.shape[2])


def test_a_camera_at_rest_does_not_move_at_all():
    frames, depth = film(np.tile(np.eye(4), (FRAMES, 1, 1)))
    found = find_camera_path(tracks(add_person(frames, 0.3)), lacking(depth), LENS)
    assert found.motion == "rest"
    assert np.ptp(found.world_to_camera, 0).max() == 0
    assert found.lens_error == np.inf
    assert (found.lens == LENS).all()


@pytest.mark.parametrize("person", [0.0, 0.4])
def test_a_camera_that_turns_on_its_place_with_a_lens_that_nobody_knows(person):
    poses = shake()
    frames, depth = film(poses)
    seen = add_person(frames, person) if person else frames
    found = find_camera_path(tracks(seen), lacking(depth), LENS * ASSUMED)
    assert found.motion == "turn"
    assert not travels(found.world_to_camera)
    assert angle_between(found.world_to_camera, poses) < 0.25
    assert found.lens[0, 0] == pytest.approx(LENS[0, 0], rel=0.03)
    assert found.lens_error < 0.05
    # As the first camera would see the last frame; OpenCV counts from the first pixel's centre.
    lens = found.lens - np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    to_first = lens @ found.world_to_camera[-1, :3, :3].T @ np.linalg.inv(lens)
    size = frames.shape[2], frames.shape[1]
    back = cv2.warpPerspective(frames[-1], to_first, size, flags=cv2.INTER_NEAREST)
    inside = back.max(-1) > 0
    error = np.abs(back.astype(int) - frames[0])[inside].mean()
    assert error < 0.4 * np.abs(frames[-1].astype(int) - frames[0])[inside].mean()


@pytest.mark.parametrize("person", [0.0, 0.4])
def test_a_small_shake_is_steadied(person):
    """A third of a degree: two pixels or more of a result's 455."""
    angles = np.radians(0.3) * np.random.default_rng(7).uniform(-1, 1, (FRAMES, 3))
    turns = np.stack([cv2.Rodrigues(angle)[0] for angle in angles])
    poses = rigid(turns, np.zeros((FRAMES, 3)))
    frames, depth = film(poses)
    seen = add_person(frames, person) if person else frames
    found = find_camera_path(tracks(seen), lacking(depth), LENS, known=True)
    assert found.motion == "turn"
    assert angle_between(found.world_to_camera, poses) < 0.1


@pytest.mark.parametrize("person", [0.0, 0.4])
def test_a_camera_that_travels(person):
    poses = arc()
    frames, depth = film(poses)
    seen = add_person(frames, person) if person else frames
    found = find_camera_path(tracks(seen), lacking(depth), LENS, known=True)
    assert found.motion == "travel"
    assert angle_between(found.world_to_camera, poses) < 0.5
    assert path_error(found.world_to_camera, poses) < 0.05
    assert found.points is not None
    column, row = np.floor(found.points.pixels).astype(int).T
    ratio = found.points.depth / depth[found.points.instants, row, column]
    assert person or np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.03
    assert person or found.agree.min() > 0.95


@pytest.mark.parametrize(("points", "pixels"), [(300, 0.6), (40, 0.3), (15, 0.3)])
def test_noise_is_no_travel(points, pixels):
    frames, depth = film(shake())
    followed = tracks(frames)
    rng = np.random.default_rng(3)
    few = np.concatenate(
        [
            rng.permutation(np.flatnonzero(followed.instant == t))[:points]
            for t in range(FRAMES)
        ]
    )
    followed = Tracks(*(x[np.sort(few)] for x in followed))
    noise = rng.normal(0, pixels, followed.there.shape)
    noisy = followed._replace(there=followed.there + noise)
    path = find_camera_path(noisy, lacking(depth), LENS, known=True)
    assert path.motion == "turn"


@pytest.mark.parametrize("degrees", [2, 4])
def test_a_little_travel_is_no_turn_of_a_longer_lens(degrees):
    turn = np.linspace(0, degrees, FRAMES)
    frames, depth = film(orbit(turn, turn / 2, 1.8, (0.0, 0.0, 0.6)))
    path = find_camera_path(tracks(frames), lacking(depth), LENS * ASSUMED)
    assert path.motion == "travel"


@pytest.mark.parametrize("motion", ["turn", "travel"])
def test_the_pose_between_two_instants_is_found_as_well_as_theirs(motion):
    poses = shake() if motion == "turn" else arc()
    frames, depth = film(poses)
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    instants = np.arange(0, FRAMES, 2)
    tracked = track_points(gray, instants)
    found = find_camera_path(tracked, lacking(depth)[instants], LENS, known=True)
    assert found.motion == motion
    between = np.arange(1, instants[-1], 2)
    where = gray, instants, between, found.points, LENS
    own = find_poses_between(*where, found.world_to_camera)
    both = np.zeros((len(instants) + len(between), 4, 4))
    both[::2] = found.world_to_camera
    both[1::2] = own
    assert angle_between(both, poses[: len(both)]) < 0.2
    # Frames without anything to follow.
    blank = np.full_like(gray, 90)
    blank[instants] = gray[instants]
    lost = find_poses_between(blank, *where[1:], found.world_to_camera)
    assert lost is None


def test_tracks_within_masks_begin_there_and_are_seen_there():
    frames, _ = film(arc())
    everywhere = tracks(frames)
    left = np.zeros(frames.shape[:3], bool)
    left[:, :, : frames.shape[2] // 2] = True
    within = tracks_within(everywhere, left)
    assert 0.3 < len(within.instant) / len(everywhere.instant) < 0.7
    middle = frames.shape[2] // 2
    assert (within.here[:, 0] < middle).all()
    assert (within.there[within.seen][:, 0] < middle).all()
    assert within.seen.any(1).all()
    np.testing.assert_array_equal(
        tracks_within(everywhere, np.ones_like(left)).there, everywhere.there
    )
