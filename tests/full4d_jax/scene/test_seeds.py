"""Initial points of a fit to a grid: hidden ones stay behind the source's surfaces."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.scene.seeds import grid_depth, push_behind_source
from input_pipeline.pinhole import intrinsics_from_fov, orbit


def test_points_in_the_sources_way_move_behind_its_surface():
    lens = jnp.asarray(intrinsics_from_fov(60.0, 24, 32), jnp.float32)
    motion = jnp.asarray(orbit(np.array([15.0]), np.zeros(1))[0], jnp.float32)
    wall = jnp.full((24, 32), 1.2)
    near = jnp.full((24, 32), 0.7)
    pushed = np.asarray(push_behind_source(near, lens, motion, wall, lens))
    y, x = np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5, indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(np.asarray(lens)).T
    points = np.concatenate([rays * pushed[..., None], np.ones((24, 32, 1))], -1)
    points = points @ np.linalg.inv(np.asarray(motion)).T
    u, v, w = np.moveaxis(points[..., :3] @ np.asarray(lens).T, -1, 0)
    inside = (u / w >= 0) & (u / w < 32) & (v / w >= 0) & (v / w < 24)
    assert inside.mean() > 0.5
    assert (points[..., 2][inside & (pushed > 0)] >= 1.2 - 1e-4).all()
    assert (pushed > 0).all()


def test_pixels_beside_something_nearer_seed_nothing_behind_it():
    depth = np.full((1, 48, 64), 2.0, np.float32)
    depth[0, 12:36, 24:40] = 1.0
    lens = np.asarray(intrinsics_from_fov(60.0, 48, 64), np.float32)
    poses = np.stack([np.eye(4), orbit(12.0, 0.0)]).astype(np.float32)[:, None]
    cameras = jax.tree.map(jnp.asarray, Cameras(np.stack([lens, lens]), poses, 48, 64))
    frames = jnp.full((2, 1, 48, 64, 3), 0.5)
    projection = project_video(frames[0], jnp.asarray(depth), cameras)
    seeds = np.asarray(grid_depth(frames, jnp.asarray(depth)[None], cameras))[1, 0]
    near = np.asarray(projection.disparity)[0, 0] > 0.8
    hole = np.asarray(projection.mask)[0, 0] == 0
    beside = cv2.dilate(near.astype(np.uint8), np.ones((7, 7))) > 0
    assert (hole & beside).sum() > 20
    assert not seeds[beside].any()
    assert seeds[hole & ~beside].all()
