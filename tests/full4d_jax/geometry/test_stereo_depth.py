"""Depth by plane sweep: of a wall, and of nothing where cameras stand too far apart."""

import cv2
import numpy as np

from full4d_jax.geometry.stereo_depth import sweep
from input_pipeline.pinhole import intrinsics_from_fov, orbit

SIDE = 48


def filmed_wall(azimuths):
    """Pictures of noise on the plane z = 1 of the world, lenses, and cameras around (0, 0, 1)."""
    poses = orbit(np.array(azimuths, float), np.zeros(len(azimuths)))
    lens = intrinsics_from_fov(40.0, SIDE, SIDE)
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.uniform(0, 1, (60, 60)), (240, 240)).astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(lens).T
    pictures, depth = [], []
    for pose in poses:
        ahead, eye = rays @ pose[:3, :3], -pose[:3, :3].T @ pose[:3, 3]
        z = (1 - eye[2]) / ahead[..., 2]
        u, v, _ = np.moveaxis(eye + z[..., None] * ahead, -1, 0)
        columns, rows = ((120 + 120 * a).astype(np.float32) for a in (u, v))
        pictures.append(cv2.remap(noise, columns, rows, cv2.INTER_LINEAR))
        depth.append(z)
    frames = np.repeat(np.stack(pictures)[..., None], 3, -1)
    return frames, np.stack([lens] * len(poses)), poses, np.stack(depth)


def test_a_textured_wall_is_found_where_it_stands():
    frames, lenses, poses, depth = filmed_wall([-15, -5, 5, 15])
    found = sweep(frames, lenses, poses, 0.5, 3.0)
    sure = found > 0
    assert sure.mean() > 0.5
    assert np.median(np.abs(found[sure] / depth[sure] - 1)) < 0.03


def test_cameras_far_apart_find_nothing():
    frames, lenses, poses, _ = filmed_wall([-15, -5, 5, 75])
    assert not sweep(frames, lenses, poses, 0.5, 3.0).any()
