"""Where a fit to a grid starts: hidden points stay behind what the source sees."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.cameras import Cameras, cameras_of
from full4d_jax.config import LiftConfig
from full4d_jax.generation.projection_guidance import project_video
from full4d_jax.scene.seeds import (
    first_scene,
    grid_depth,
    push_behind_source,
    with_passing_rims,
    with_rims,
)
from gaussians import DynamicGaussians
from input_pipeline.cameras import intrinsics_from_fov, orbit
from input_pipeline.procedural.scene import procedural_scene


def test_points_in_the_sources_way_move_behind_its_surface():
    lens = jnp.asarray(intrinsics_from_fov(60.0, 24, 32), jnp.float32)
    motion = jnp.asarray(orbit(np.array([15.0]), np.zeros(1))[0], jnp.float32)
    wall = jnp.full((24, 32), 1.2)
    pushed = np.asarray(push_behind_source(jnp.full((24, 32), 0.7), lens, motion, wall, lens))
    y, x = np.meshgrid(np.arange(24) + 0.5, np.arange(32) + 0.5, indexing="ij")
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(np.asarray(lens)).T
    points = np.concatenate([rays * pushed[..., None], np.ones((24, 32, 1))], -1)
    points = points @ np.linalg.inv(np.asarray(motion)).T
    u, v, w = np.moveaxis(points[..., :3] @ np.asarray(lens).T, -1, 0)
    inside = (u / w >= 0) & (u / w < 32) & (v / w >= 0) & (v / w < 24)
    assert inside.mean() > 0.5
    assert (points[..., 2][inside & (pushed > 0)] >= 1.2 - 1e-4).all()
    assert (pushed > 0).all()


def test_real_views_seed_what_those_before_them_do_not_see_at_its_depth():
    azimuths = jnp.array([40.0, -40.0, 20.0])  # two real views after the source, one target
    clip = jax.jit(partial(procedural_scene, views=4, frames=1, azimuths=azimuths))(3)
    cameras, depth = cameras_of(clip), clip.depth
    one, two = (np.asarray(grid_depth(clip.frames, depth[:k], cameras)) for k in (2, 3))
    np.testing.assert_array_equal(two[:2], one[:2])
    for real in (1, 2):
        np.testing.assert_array_equal(two[real], np.where(one[real] > 0, depth[real], 0))
        assert 0.02 < (two[real] > 0).mean() < 0.7
    first, second = (
        np.asarray(project_video(clip.frames[i], jnp.asarray(two[i]), cameras, i).mask) > 0
        for i in (1, 2)
    )
    assert not two[2][first[1]].any()  # the first of them has seeds there
    assert not two[3][second[2]].any()
    assert two[1][second[0]].any()  # what it does not see lies behind them
    assert (two[3] > 0).sum() < (one[3] > 0).sum()


def test_pixels_beside_something_nearer_seed_nothing_behind_it():
    depth = np.full((1, 48, 64), 2.0, np.float32)
    depth[0, 12:36, 24:40] = 1.0
    lens = np.asarray(intrinsics_from_fov(60.0, 48, 64), np.float32)
    poses = np.stack([np.eye(4), orbit(np.array([12.0]), np.zeros(1))[0]]).astype(np.float32)
    cameras = jax.tree.map(jnp.asarray, Cameras(np.stack([lens, lens]), poses[:, None], 48, 64))
    frames = jnp.full((2, 1, 48, 64, 3), 0.5)
    projection = project_video(frames[0], jnp.asarray(depth), cameras)
    seeds = np.asarray(grid_depth(frames, jnp.asarray(depth)[None], cameras))[1, 0]
    near = np.asarray(projection.disparity)[0, 0] > 0.8
    hole = np.asarray(projection.mask)[0, 0] == 0
    beside = cv2.dilate(near.astype(np.uint8), np.ones((7, 7))) > 0
    assert (hole & beside).sum() > 20
    assert not seeds[beside].any()
    assert seeds[hole & ~beside].all()


def test_what_flickers_in_a_generated_view_seeds_nothing():
    """A square flickers in either view; only the one that a camera filmed really changes there."""
    frames = np.full((2, 4, 16, 16, 3), 0.5, np.float32)
    frames[:, ::2, 4:8, 4:8] = 1.0
    frames[:, 1::2, 4:8, 4:8] = 0.0
    lens = np.array([[16.0, 0, 8], [0, 16, 8], [0, 0, 1]], np.float32)
    poses = np.tile(np.eye(4, dtype=np.float32), (2, 4, 1, 1))
    poses[1, :, 0, 3] = 5.0  # the second camera stands apart
    cameras = jax.tree.map(jnp.asarray, Cameras(np.stack([lens, lens]), poses, 16, 16))
    settings = LiftConfig(capacity=400)

    def moving_per_view(filmed: int | None) -> list[int]:
        scene = first_scene(
            settings,
            jnp.asarray(frames),
            jnp.full(frames.shape[:-1], 2.0),
            cameras,
            jax.random.key(0),
            filmed=filmed,
        )
        assert isinstance(scene, DynamicGaussians)
        moving = np.asarray(scene.logit_gates) < 0
        is_second = np.asarray(scene.gaussians.means[:, 0]) < -2.5
        return [int((moving & ~is_second).sum()), int((moving & is_second).sum())]

    assert min(moving_per_view(filmed=None)) > 10
    of_source, of_generated = moving_per_view(filmed=1)
    assert of_source > 10
    assert of_generated == 0


def test_pixels_that_mix_with_something_nearer_lie_at_its_depth():
    """Two sides of a square mix with what is behind, two do not; a floor keeps its depth."""
    floor = 1 / np.linspace(0.02, 0.6, 12)  # a plane, up to close to its horizon
    depth = np.broadcast_to(floor[None, :, None], (1, 12, 12)).copy()
    depth[:, 4:8, 3:9] = 1.0
    frames = np.full((1, 12, 12, 3), 0.8)
    frames[:, 4:8, 3:9] = 0.1
    frames[:, 3, 3:9] = frames[:, 4:8, 9] = 0.5  # above, and at the right
    frames[:, 8, 3:9] = 0.77  # below, hardly
    unknown = np.ones((1, 12, 12), bool)
    unknown[:, 3, 7:] = False
    expected = depth.copy()
    expected[:, 3, 3:7] = expected[:, 4:8, 9] = 1.0
    found = with_rims(jnp.float32(depth), jnp.float32(frames), jnp.asarray(unknown))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_outline_of_who_passes_lies_at_its_depth():
    """The mask of a dark square is 1 pixel too narrow on each side, and the square walks."""
    frames = np.full((4, 32, 48, 3), 0.8, np.float32)
    depth = np.full((4, 32, 48), 2.0, np.float32)
    square = np.zeros(depth.shape, bool)
    for t in range(4):
        square[t, 8:24, 6 + 6 * t : 18 + 6 * t] = True
        depth[t, 9:23, 7 + 6 * t : 17 + 6 * t] = 1.0
    frames[square] = 0.1
    result = with_passing_rims(depth, frames)
    np.testing.assert_array_equal(result[square], 1.0)
    # Beside it the wall shows its own colour, and stays.
    np.testing.assert_array_equal(result[~square], 2.0)
