"""Depth that lacks scale and shift of disparity comes to that of points; flicker is calmed."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from handheld_clips import FRAMES, HEIGHT, LENS, WIDTH, arc, film

from full4d_jax.cameras import Cameras
from full4d_jax.geometry.depth_maps import fuse_depth
from full4d_jax.grid import PicturesBetween, around_source
from full4d_jax.source.handheld.path_scale import align_to_points, in_unit
from input_pipeline.depth_alignment import SparseDepth
from input_pipeline.pinhole import relative_to


def scene(nearest: float, farthest: float) -> np.ndarray:
    """Depth that grows upwards."""
    row = np.geomspace(farthest, nearest, HEIGHT, dtype=np.float32)
    return np.broadcast_to(row[:, None], (FRAMES, HEIGHT, WIDTH))


def sightings(depth: np.ndarray, each: int) -> SparseDepth:
    """So many points in every frame, 3 % off, a tenth of them anywhere."""
    rng = np.random.default_rng(0)
    instants = np.repeat(np.arange(FRAMES), each)
    pixels = rng.uniform(0, 1, (len(instants), 2)) * (WIDTH, HEIGHT)
    true = depth[instants, pixels[:, 1].astype(int), 0]
    wrong = rng.random(len(true)) < 0.1
    n = len(true)
    noise = np.where(wrong, rng.uniform(0.4, 2.5, n), rng.normal(1, 0.03, n))
    return SparseDepth(instants, pixels, true * noise)


def lacking(depth: np.ndarray) -> np.ndarray:
    """Estimate of a network of affine disparity: another line in every frame."""
    s = np.linspace(0, 1, FRAMES, dtype=np.float32)[:, None, None]
    return 1 / ((1 + s) / depth + 0.3 + 0.4 * s)


def error(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.abs(found / true - 1).max())


def test_scale_and_shift_of_every_frame():
    true = scene(1, 4)
    found = align_to_points(lacking(true), sightings(true, 200), by_frame=True)
    assert error(found, true) < 0.05


def test_fused_depth_flickers_less_and_leaves_what_moves():
    frames, true = film(arc())
    poses = relative_to(arc(), arc()[0])
    rng = np.random.default_rng(0)
    flicker = 1 + rng.normal(0, 0.03, (FRAMES, 1, 1)) * np.ones_like(true)
    thing = np.zeros(true.shape, bool)
    for i in range(FRAMES):
        thing[i, 40:90, 10 + 25 * i : 60 + 25 * i] = True
    frames[thing], true[thing] = rng.integers(0, 255, (thing.sum(), 3)), 0.8
    given = np.where(thing, true, true * flicker)
    given[:, :, -4:] = 0
    arrays = frames / 127.5 - 1, given, LENS, poses
    fused = np.asarray(fuse_depth(*(jnp.asarray(x, jnp.float32) for x in arrays)))
    wall = ~thing & (given > 0)
    before, after = (np.abs(x / true - 1)[wall].mean() for x in (given, fused))
    assert after < 0.75 * before
    assert np.abs(fused / true - 1)[thing & (given > 0)].mean() < 0.01
    assert not fused[:, :, -4:].any()


def test_points_at_one_depth_tell_a_scale_and_leave_the_relief():
    """A person at 1 before a wall at 2, where all points are: noise would flatten a line."""
    rng = np.random.default_rng(0)
    true = np.full((1, HEIGHT, WIDTH), 2.0)
    true[:, :, WIDTH // 2 :] = 1.0
    estimate = 3 * true * rng.normal(1, 0.05, true.shape)
    pixels = rng.uniform(0, 1, (300, 2)) * (WIDTH // 2 - 1, HEIGHT)
    points = SparseDepth(np.zeros(300, int), pixels, rng.normal(2, 0.06, 300))
    aligned = align_to_points(estimate, points, by_frame=True)
    person = np.median(aligned[:, :, WIDTH // 2 :])
    assert abs(person - 1) < 0.05


def test_a_grid_in_another_unit_has_all_its_cameras_in_it():
    poses = np.tile(np.eye(4, dtype=np.float32), (1, 2, 1, 1))
    poses[0, 1, :3, 3] = 4, 2, -6
    between = poses[0, 1:].copy()
    between[0, :3, 3] /= 2
    frames = np.zeros((1, 2, HEIGHT, WIDTH, 3), np.uint8)
    cameras = Cameras(LENS[None].astype(np.float32), poses, HEIGHT, WIDTH)
    source = around_source(frames, np.ones(frames.shape[:4], np.float32), cameras)
    pictures = PicturesBetween(frames[0, 1:], np.array([0.06]), between)
    placed = in_unit(replace(source, between=pictures), 2.0)
    shift = np.array([2, 1, -3])
    moved = np.asarray(placed.known_cameras.world_to_camera)[0, 1, :3, 3]
    np.testing.assert_allclose(moved, shift)
    assert placed.between is not None
    assert placed.between.world_to_camera is not None
    np.testing.assert_allclose(placed.between.world_to_camera[0, :3, 3], shift / 2)
