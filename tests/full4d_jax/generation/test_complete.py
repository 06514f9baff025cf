"""What completes a grid keeps what is known, or refuses what it would make again."""

import jax
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
from full4d_jax.generation import complete as completion
from full4d_jax.generation.complete import complete, generate
from full4d_jax.generation.prior import open_prior
from full4d_jax.grid import Grid, Origin
from full4d_jax.session.errors import InputError

VIEWS, INSTANTS, SIDE = 3, 4, 64


@pytest.fixture(scope="module")
def prior():
    return open_prior(DEFAULT)


def cameras(height: int = SIDE, instants: int = INSTANTS) -> Cameras:
    lenses = np.tile(np.eye(3, dtype=np.float32), (VIEWS, 1, 1))
    poses = np.tile(np.eye(4, dtype=np.float32), (VIEWS, instants, 1, 1))
    return Cameras(lenses, poses, height, SIDE)


def clip(views: int = 1) -> tuple[np.ndarray, np.ndarray]:
    frames = np.random.default_rng(0).integers(0, 255, (views, INSTANTS, SIDE, SIDE, 3), np.uint8)
    return frames, np.ones(frames.shape[:4], np.float32)


def test_arrays_become_the_grid_that_is_completed(prior, monkeypatch):
    """The arrays may be jax's; other tests show what `complete` makes of the grid."""
    monkeypatch.setattr(completion, "complete", lambda prior, grid, key, upsampler: (grid, None))
    frames, depth = clip()
    arrays = jax.tree.map(jax.numpy.asarray, (frames, depth, cameras()))
    grid = generate(
        prior, frames=arrays[0], depth=arrays[1], cameras=arrays[2], key=jax.random.key(0)
    )
    assert grid.frames.shape == (VIEWS, INSTANTS, SIDE, SIDE, 3)
    assert (grid.origin[0] == Origin.REAL).all()
    assert (grid.origin[1:] == Origin.MISSING).all()
    np.testing.assert_array_equal(grid.frames[0], frames[0])
    np.testing.assert_array_equal(grid.depth, depth)
    assert grid.cameras is not None
    assert grid.cameras.world_to_camera.shape == (VIEWS, INSTANTS, 4, 4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("frames", lambda frames, depth, cameras: (frames / 255, depth, cameras)),
        ("depth", lambda frames, depth, cameras: (frames, depth[:, 1:], cameras)),
        ("cameras.height", lambda frames, depth, _: (frames, depth, cameras(height=32))),
        ("world_to_camera", lambda *_: (*clip(views=VIEWS), cameras())),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(prior, name, change):
    frames, depth = clip()
    frames, depth, placed = change(frames, depth, cameras())
    with pytest.raises(InputError, match=f"argument: .*{name}.*found .*expected"):
        generate(prior, frames, depth, placed, jax.random.key(0))


@pytest.mark.parametrize("origin", [Origin.REAL, Origin.GENERATED])
def test_a_known_frame_among_those_that_a_projection_makes_is_refused(prior, origin):
    origins = np.full((VIEWS, INSTANTS), Origin.MISSING, np.uint8)
    origins[0] = Origin.REAL
    origins[2, 1] = origin
    grid = Grid(
        frames=np.zeros((VIEWS, INSTANTS, SIDE, SIDE, 3), np.uint8),
        origin=origins,
        times=np.arange(INSTANTS) / 4,
        cameras=cameras(),
        depth=np.ones((1, INSTANTS, SIDE, SIDE), np.float32),
    )
    with pytest.raises(InputError, match=f"origin.*{origin.name.lower()} at view 2, instant 1"):
        complete(prior, grid, jax.random.key(0))
