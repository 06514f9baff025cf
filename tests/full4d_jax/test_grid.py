"""A grid is saved as it is, and a view of it stands in a world of its own."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.grid import (
    ARRAYS,
    About,
    CleanPlate,
    Generation,
    Grid,
    Origin,
    PicturesBetween,
    Place,
    Points,
    all_real,
    alone,
    grid_arrays,
    grid_from,
    points_in,
)
from full4d_jax.source.own_motion import passing_in
from input_pipeline.pinhole import invert

V, T, H, W = 3, 2, 4, 6
LENS = np.array([[W, 0, W / 2], [0, W, H / 2], [0, 0, 1]], np.float32)


def cameras(views: int = V) -> Cameras:
    """Cameras that stand 0.1 apart; those of view 1 and on look to the side."""
    poses = np.tile(np.eye(4, dtype=np.float32), (views, T, 1, 1))
    poses[:, :, 0, 3] = 0.1 * np.arange(views)[:, None]
    poses[1:, :, :3, :3] = [[0, 0, -1], [0, 1, 0], [1, 0, 0]]
    return Cameras(np.stack([LENS] * views), poses, H, W)


def rig() -> Grid:
    """Two real views and a missing one, with all that a grid may hold."""
    rng = np.random.default_rng(0)
    origin = np.full((V, T), Origin.REAL, np.uint8)
    origin[2] = Origin.MISSING
    depth = rng.uniform(1, 3, (2, T, H, W)).astype(np.float32)
    points = Points(
        views=np.array([0, 1, 1]),
        instants=np.array([0, 1, 0]),
        pixels=rng.uniform(0, 4, (3, 2)),
        depth=np.array([1.0, 2.0, 4.0]),
    )
    pictures = rng.integers(0, 255, (1, H, W, 3), np.uint8)
    between = PicturesBetween(pictures, np.array([0.25]), np.eye(4)[None])
    place = Place("hash", "train", 7, 1, np.array([1, 0, 2]), np.array([3, 4]), 2.5)
    frames = rng.integers(0, 255, (V, T, H, W, 3), np.uint8)
    return Grid(
        frames=frames,
        origin=origin,
        times=np.array([0.0, 0.5]),
        cameras=cameras(),
        depth=depth,
        masks=rng.random((V, T, H, W)) < 0.5,
        points=points,
        cloud=rng.random((5, 6)),
        between=between,
        around=rng.integers(0, 255, (3, H, W, 3)).astype(np.uint8),
        plate=CleanPlate(frames[0, 0], np.ones((H, W)), 0),
        about=About(
            note="a rig",
            warning="it shakes",
            unposed="",
            place=place,
            generation=Generation(16, 24, 3, 0.25),
            rate=2.0,
            distances=np.array([1.0, 2.0]),
            enlarged=True,
            sound=np.arange(9, dtype=np.uint8),
        ),
    )


def bare() -> Grid:
    """A grid of which nothing is known but its frames."""
    frames = np.zeros((V, T, H, W, 3), np.uint8)
    return Grid(frames=frames, origin=all_real(frames), times=np.arange(T) / 4)


@pytest.mark.parametrize("make", [rig, bare])
def test_a_grid_comes_back_from_its_arrays(make, tmp_path):
    arrays: dict[str, Any] = grid_arrays(make())
    np.savez(tmp_path / "grid.npz", **arrays)
    with np.load(tmp_path / "grid.npz") as saved:
        found = grid_from(saved)
    np.testing.assert_equal(asdict(found), asdict(make()))
    kinds = {name: x.dtype for name, x in grid_arrays(found).items()}
    assert kinds == {name: x.dtype for name, x in arrays.items()}


def test_documents_name_every_array():
    page = Path("docs/formats.md").read_text()
    names = [f"`{name}`" for part in ARRAYS.values() for name, _ in part.values()]
    assert [name for name in names if name not in page] == []


def test_a_real_view_alone_is_in_its_own_world_and_unit():
    grid = rig()
    own = alone(grid, 1)
    assert own.depth is not None
    assert grid.depth is not None
    np.testing.assert_array_equal(own.frames[0], grid.frames[1])
    first = own.known_cameras.world_to_camera[0, 0]
    np.testing.assert_allclose(first, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(own.depth[0], grid.depth[1] / 2)
    points = points_in(own)
    assert points is not None
    assert points.depth.tolist() == [1.0, 2.0]
    moved = grid.known_cameras.world_to_camera.copy()
    moved[1, 1, 2, 3] += 3
    cameras = replace(grid.known_cameras, world_to_camera=moved)
    own = alone(replace(grid, cameras=cameras), 1)
    step = moved[1, 1].astype(float) @ invert(moved[1, 0].astype(float))
    step[:3, 3] /= 2
    np.testing.assert_allclose(own.known_cameras.world_to_camera[0, 1], step, atol=1e-6)


def test_what_passes_is_what_changes_before_a_camera_at_rest_and_else_what_is_masked():
    grid = rig()
    marked = grid.masks
    assert marked is not None
    at_rest = replace(
        grid.known_cameras, world_to_camera=np.tile(np.eye(4), (V, T, 1, 1))
    )
    frames = np.full_like(grid.frames, 100)
    frames[0, 1, 0, 0] = 200
    resting = replace(grid, cameras=at_rest, frames=frames)
    expected = np.zeros((T, H, W), bool)
    expected[:, 0, 0] = True
    np.testing.assert_array_equal(passing_in(resting, 30), expected)
    turned = at_rest.world_to_camera.copy()
    turned[0, 1] = np.diag([-1.0, 1, -1, 1])
    moving = replace(resting, cameras=replace(at_rest, world_to_camera=turned))
    np.testing.assert_array_equal(passing_in(moving, 30), marked[0])
    assert not passing_in(replace(moving, masks=None), 30).any()
