"""A grid is saved as it is, and arrays that do not fit together are refused by name."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.grid import (
    DEFAULT_FPS,
    About,
    CleanPlate,
    Grid,
    Origin,
    PicturesBetween,
    Place,
    Points,
    all_real,
    alone,
    depth_in,
    grid_arrays,
    grid_from,
    points_in,
    with_missing,
)
from full4d_jax.session.stage_arrays import GRID, check_arrays
from input_pipeline.cameras import invert

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
    between = PicturesBetween(rng.integers(0, 255, (1, H, W, 3), np.uint8), np.array([0.25]))
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


def assert_same(value: object, expected: object) -> None:
    """Compare values field by field, arrays by their kind and numbers."""
    names = getattr(expected, "_fields", ())
    if is_dataclass(expected):
        names = [x.name for x in fields(expected)]
    if names:
        assert type(value) is type(expected)
        for name in names:
            assert_same(getattr(value, name), getattr(expected, name))
    elif isinstance(expected, np.ndarray):
        assert isinstance(value, np.ndarray)
        assert value.dtype == expected.dtype
        np.testing.assert_array_equal(value, expected)
    else:
        assert value == expected


@pytest.mark.parametrize("make", [rig, bare])
def test_a_grid_comes_back_from_its_arrays(make, tmp_path):
    arrays: dict[str, Any] = grid_arrays(make())
    np.savez(tmp_path / "grid.npz", **arrays)
    with np.load(tmp_path / "grid.npz") as saved:
        assert_same(grid_from(saved), make())


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("frames", np.zeros((V, T, H, W, 3))),
        ("origin", np.ones((V, T + 1), np.uint8)),
        ("origin", np.full((V, T), 9, np.uint8)),
        ("times", np.arange(T + 1.0)),
        ("world_to_camera", np.zeros((V, 4, 4))),
        ("depth", np.zeros((V + 1, T, H, W))),
        ("depth", np.zeros((1, T, H, W + 1))),
        ("between", np.zeros((2, H, W, 3), np.uint8)),
        ("plate_instant", np.asarray(3)),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name(name, array):
    arrays = grid_arrays(rig())
    check_arrays("grid", arrays, "there")
    with pytest.raises(ValueError, match=f"there, array {name}.*: found .*, expected"):
        check_arrays("grid", arrays | {name: array}, "there")


@pytest.mark.parametrize("make", [rig, bare])
def test_every_array_of_a_grid_is_in_the_layout_of_its_stage(make):
    names = {name.removesuffix("?") for name in GRID}
    assert grid_arrays(make()).keys() <= names
    assert make is bare or grid_arrays(make()).keys() == names


@pytest.mark.parametrize("name", ["frames", "origin", "times"])
def test_arrays_without_what_a_grid_must_have_are_refused(name):
    arrays = grid_arrays(rig())
    del arrays[name]
    with pytest.raises(ValueError, match=f"there: found no array {name}"):
        check_arrays("grid", arrays, "there")


def test_origin_and_depth_tell_what_kind_of_grid_it_is():
    grid = rig()
    assert (grid.real_rows, grid.follows_source, grid.starts_at_its_end) == (2, False, False)
    made = np.where(grid.origin == Origin.MISSING, Origin.GENERATED, grid.origin)
    generated = replace(grid, origin=made.astype(np.uint8))
    assert generated.follows_source
    assert not replace(generated, depth=None).follows_source
    column = generated.origin.copy()
    column[:, 0] = Origin.REAL
    assert replace(generated, origin=column).starts_at_its_end
    assert (bare().real_rows, bare().starts_at_its_end) == (V, False)


def test_the_rate_follows_from_times_or_from_what_was_asked_for():
    assert rig().fps == 2.0
    frames = np.zeros((V, 1, H, W, 3), np.uint8)
    one = Grid(frames=frames, origin=all_real(frames), times=np.zeros(1))
    assert one.fps == DEFAULT_FPS
    assert replace(one, about=About(rate=3.0)).fps == 3.0


def test_missing_views_are_black_and_have_the_cameras():
    first = replace(bare(), cameras=cameras())
    more = with_missing(first, cameras(5))
    assert more.frames.shape == (5, T, H, W, 3)
    assert (more.origin[:V] == Origin.REAL).all()
    assert (more.origin[V:] == Origin.MISSING).all()
    assert more.cameras is not None
    assert len(more.cameras.intrinsics) == 5
    assert not more.frames[V:].any()


def test_points_and_depth_belong_to_views():
    grid = rig()
    first = points_in(grid, 0)
    second = points_in(grid, 1)
    assert first is not None
    assert second is not None
    assert first.depth.tolist() == [1.0]
    assert second.depth.tolist() == [2.0, 4.0]
    assert points_in(grid, 2) is None
    assert grid.depth is not None
    np.testing.assert_array_equal(depth_in(grid, 1), grid.depth[1])
    assert depth_in(grid, 2) is None
    unknown = grid.depth.copy()
    unknown[1] = 0
    assert depth_in(replace(grid, depth=unknown), 1) is None


def test_a_real_view_alone_is_in_its_own_world_and_unit():
    grid = rig()
    own = alone(grid, 1)
    assert own.cameras is not None
    assert own.depth is not None
    assert grid.cameras is not None
    assert grid.depth is not None
    np.testing.assert_array_equal(own.frames[0], grid.frames[1])
    np.testing.assert_allclose(own.cameras.world_to_camera[0, 0], np.eye(4), atol=1e-6)
    np.testing.assert_allclose(own.depth[0], grid.depth[1] / 2)
    points = points_in(own)
    assert points is not None
    assert points.depth.tolist() == [1.0, 2.0]
    moved = grid.cameras.world_to_camera.copy()
    moved[1, 1, 2, 3] += 3
    own = alone(replace(grid, cameras=replace(grid.cameras, world_to_camera=moved)), 1)
    assert own.cameras is not None
    step = moved[1, 1].astype(float) @ invert(moved[1, 0].astype(float))
    step[:3, 3] /= 2
    np.testing.assert_allclose(own.cameras.world_to_camera[0, 1], step, atol=1e-6)
