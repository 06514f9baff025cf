"""Depth, paths and lenses that are adjusted to flow, in pictures of a room, against true ones."""

import cv2
import numpy as np
import pytest
from handheld_clips import LENS, arc, film, path_error, shake

from full4d_jax.geometry import flow_depth
from full4d_jax.geometry.camera_path import find_camera_path, track_points
from full4d_jax.geometry.depth_maps import nearest
from full4d_jax.geometry.paths import travels
from input_pipeline.pinhole import orbit, relative_to, resize_intrinsics

ASSUMED = np.array([[1.3, 1, 1], [1, 1.3, 1], [1, 1, 1]])


def leaning(true):
    """A network that leans everything: the left 1.6 times too near, the right 1.6 times too far."""
    lean = np.linspace(-np.log(1.6), np.log(1.6), true.shape[-1])
    return (true * np.exp(lean)).astype(np.float32)


def gray(frames):
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])


def sparse_and_dense_path(frames, depth, lens, *, known=False):
    """The path of tracks with depth that leans, and the path that flow makes of it."""
    shown = gray(frames)
    tracks = track_points(shown, np.arange(len(shown)))
    network = leaning(depth)
    sparse = find_camera_path(tracks, 1 / network, lens, known=known)
    everything = np.ones(depth.shape, bool)
    return sparse, flow_depth.adjust_path(
        shown, sparse, network, everything, lens, known=known
    )


def largest_turn(found, true):
    turns = found[:, :3, :3] @ relative_to(true, true[0])[:, :3, :3].swapaxes(1, 2)
    return np.degrees(max(np.linalg.norm(cv2.Rodrigues(turn)[0]) for turn in turns))


def test_a_room_that_leans_is_set_upright():
    poses = arc()[::2]
    frames, true = film(poses)
    before = leaning(true)
    nothing = np.zeros(before.shape, bool)
    path = relative_to(poses, poses[0])
    depth, measured = flow_depth.flow_depth(frames, before, LENS, path, nothing)
    assert measured.mean() > 0.5
    errors = [np.abs(x / true - 1).mean() for x in (before, depth)]
    assert errors[1] < 0.15 * errors[0]
    assert np.median(np.abs(depth / true - 1)[measured]) < 0.01


def test_what_passes_is_not_measured():
    poses = arc()[::2]
    frames, true = film(poses)
    passing = np.zeros(true.shape, bool)
    passing[:, 20:60, 30:70] = True
    path = relative_to(poses, poses[0])
    _, measured = flow_depth.flow_depth(frames, leaning(true), LENS, path, passing)
    assert not measured[passing].any()
    assert measured[~passing].mean() > 0.5


@pytest.mark.parametrize(
    ("size", "least_share"), [((2, 6), 0), ((12, 64), 0.2), ((36, 64), 0.5)]
)
def test_small_pictures_are_measured_as_far_as_flow_can(size, least_share):
    poses = arc()[::2]
    frames, true = film(poses)
    height, width = size
    small = np.stack(
        [cv2.resize(x, (width, height), interpolation=cv2.INTER_AREA) for x in frames]
    )
    depth = leaning(nearest(true, height, width))
    lens = resize_intrinsics(
        LENS, rows=height / true.shape[1], columns=width / true.shape[2]
    )
    nothing = np.zeros(depth.shape, bool)
    path = relative_to(poses, poses[0])
    after, measured = flow_depth.flow_depth(small, depth, lens, path, nothing)
    assert np.isfinite(after).all()
    assert measured.mean() >= least_share


def test_without_travel_nothing_is_measured():
    poses = shake()
    frames, true = film(poses)
    before = leaning(true)
    nothing = np.zeros(before.shape, bool)
    path = relative_to(poses, poses[0])
    depth, measured = flow_depth.flow_depth(frames, before, LENS, path, nothing)
    assert not measured.any()
    np.testing.assert_allclose(depth, before, rtol=1e-5)


def test_a_path_and_a_lens_that_nobody_knows_become_exact():
    turn = np.linspace(0, 16, 8)
    poses = orbit(turn, turn / 2, 1.8, (0.0, 0.0, 0.6))
    sparse, adjusted = sparse_and_dense_path(*film(poses), LENS * ASSUMED)
    assert travels(adjusted.world_to_camera)
    assert adjusted.lens[0, 0] == pytest.approx(LENS[0, 0], rel=0.05)
    assert adjusted.lens_error < 0.05
    turns = [largest_turn(x.world_to_camera, poses) for x in (sparse, adjusted)]
    assert turns[1] < 0.3
    assert turns[1] < turns[0]
    assert path_error(adjusted.world_to_camera, poses) < 0.03
    assert (adjusted.agree == sparse.agree).all()


def test_a_camera_that_turns_stays_on_its_place():
    poses = shake()
    frames, depth = film(poses)
    _, adjusted = sparse_and_dense_path(frames, depth, LENS * ASSUMED)
    assert not travels(adjusted.world_to_camera)
    assert largest_turn(adjusted.world_to_camera, poses) < 0.1
    assert adjusted.lens[0, 0] == pytest.approx(LENS[0, 0], rel=0.02)


def test_larger_pictures_are_matched_smaller():
    poses = arc()[::2]
    frames, depth = film(poses)
    # Above the size that is matched.
    factor = -(-flow_depth.MATCHED_SIDE // max(depth.shape[1:])) + 1
    large = frames.repeat(factor, 1).repeat(factor, 2)
    far = depth.repeat(factor, 1).repeat(factor, 2)
    lens = resize_intrinsics(LENS, rows=factor, columns=factor)
    _, adjusted = sparse_and_dense_path(large, far, lens, known=True)
    assert adjusted.lens[0, 0] == pytest.approx(lens[0, 0])
    assert path_error(adjusted.world_to_camera, poses) < 0.05
    x, y = adjusted.points.pixels.T
    assert x.max() > 0.9 * large.shape[2]
    assert y.max() > 0.9 * large.shape[1]
