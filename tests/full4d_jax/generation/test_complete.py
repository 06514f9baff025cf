"""What completes a grid keeps what is known, or refuses what it would make again."""

import jax
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
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
    frames = np.random.default_rng(0).integers(
        0, 255, (views, INSTANTS, SIDE, SIDE, 3), np.uint8
    )
    return frames, np.ones(frames.shape[:4], np.float32)


@pytest.mark.usefixtures("unchecked")
def test_arrays_that_do_not_belong_together_are_refused(prior):
    frames, depth = clip()
    with pytest.raises(InputError, match=r"argument: .*depth.*found .*expected"):
        generate(prior, frames, depth[:, 1:], cameras(), jax.random.key(0))


def test_a_known_frame_among_those_that_a_projection_makes_is_refused(prior):
    origins = np.full((VIEWS, INSTANTS), Origin.MISSING, np.uint8)
    origins[0] = Origin.REAL
    origins[2, 1] = Origin.REAL
    grid = Grid(
        frames=np.zeros((VIEWS, INSTANTS, SIDE, SIDE, 3), np.uint8),
        origin=origins,
        times=np.arange(INSTANTS) / 4,
        cameras=cameras(),
        depth=np.ones((1, INSTANTS, SIDE, SIDE), np.float32),
    )
    with pytest.raises(InputError, match=r"origin.*real at view 2, instant 1"):
        complete(prior, grid, jax.random.key(0))
