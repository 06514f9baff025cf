"""The facts that depth must agree with, one after the other."""

import numpy as np

from full4d_jax.cameras import Cameras
from full4d_jax.grid import around_source
from full4d_jax.source import measure
from full4d_jax.source.subjects import Subjects

LENS = np.array([[130.0, 0, 80], [0, 130.0, 60], [0, 0, 1]])
REST = np.tile(np.eye(4), (2, 1, 1))


def test_what_is_smeared_between_two_legs_is_the_wall_behind(monkeypatch):
    """The network sees one near block where two legs are, and is right about the empty room."""
    legs = np.zeros((2, 120, 160), np.int32)
    legs[:, 30:110, 60:70] = 1
    legs[:, 30:110, 80:90] = 1
    depth = np.full((2, 120, 160), 2.0, np.float32)
    depth[:, 28:112, 57:93] = 1.0
    frames = np.full((2, 120, 160, 3), 90, np.uint8)
    subjects = Subjects(legs, ("thing",))
    monkeypatch.setattr(measure, "find_subjects", lambda *_: subjects)

    def empty_room(picture: np.ndarray) -> np.ndarray:
        return np.full(picture.shape[:2], 2.0)

    source = around_source(frames[None], depth[None], Cameras(LENS[None], REST[None], 120, 160))
    held, _ = measure.hold_facts(source, depth, empty_room)
    np.testing.assert_allclose(held[legs == 1], 1.0, rtol=0.05)
    np.testing.assert_allclose(held[legs == 0], 2.0, rtol=0.05)
