"""Where a fit to a grid starts: hidden points stay behind what the source sees."""

import jax.numpy as jnp
import numpy as np

from full4d_jax.scene.seeds import push_behind
from input_pipeline.cameras import intrinsics_from_fov, orbit


def test_points_in_the_sources_way_move_behind_its_surface():
    lens = jnp.asarray(intrinsics_from_fov(60.0, 24, 32), jnp.float32)
    motion = jnp.asarray(orbit(np.array([15.0]), np.zeros(1))[0], jnp.float32)
    wall = jnp.full((24, 32), 1.2)
    pushed = np.asarray(push_behind(jnp.full((24, 32), 0.7), lens, motion, wall, lens))
    y, x = np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5, indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(np.asarray(lens)).T
    points = np.concatenate([rays * pushed[..., None], np.ones((24, 32, 1))], -1)
    points = points @ np.linalg.inv(np.asarray(motion)).T
    u, v, w = np.moveaxis(points[..., :3] @ np.asarray(lens).T, -1, 0)
    inside = (u / w >= 0) & (u / w < 32) & (v / w >= 0) & (v / w < 24)
    assert inside.mean() > 0.5
    assert (points[..., 2][inside & (pushed > 0)] >= 1.2 - 1e-4).all()
    assert (pushed > 0).all()


def test_points_behind_stay_where_they_are():
    lens = jnp.asarray(intrinsics_from_fov(60.0, 24, 32), jnp.float32)
    depth = jnp.full((24, 32), 2.0)
    same = push_behind(depth, lens, jnp.eye(4), jnp.full((24, 32), 1.2), lens)
    np.testing.assert_array_equal(same, depth)
