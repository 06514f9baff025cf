"""Completion refuses views that it would generate again."""

import jax
import numpy as np
import pytest

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT
from full4d_jax.generation.complete import complete
from full4d_jax.generation.prior import open_prior
from full4d_jax.grid import Grid, Origin
from full4d_jax.session.errors import InputError

VIEWS, INSTANTS, SIDE = 3, 4, 64


def test_a_known_frame_among_those_that_a_projection_makes_is_refused():
    lenses = np.tile(np.eye(3, dtype=np.float32), (VIEWS, 1, 1))
    poses = np.tile(np.eye(4, dtype=np.float32), (VIEWS, INSTANTS, 1, 1))
    origins = np.full((VIEWS, INSTANTS), Origin.MISSING, np.uint8)
    origins[0] = Origin.REAL
    origins[2, 1] = Origin.REAL
    grid = Grid(
        frames=np.zeros((VIEWS, INSTANTS, SIDE, SIDE, 3), np.uint8),
        origin=origins,
        times=np.arange(INSTANTS) / 4,
        cameras=Cameras(lenses, poses, SIDE, SIDE),
        depth=np.ones((1, INSTANTS, SIDE, SIDE), np.float32),
    )
    with pytest.raises(InputError, match=r"origin.*real at view 2, instant 1"):
        complete(open_prior(DEFAULT), grid, jax.random.key(0))
