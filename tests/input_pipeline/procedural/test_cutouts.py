"""Cut-outs: what moves before a camera at rest, and nothing else."""

import numpy as np
import pytest

from full4d_jax.media.video import write_video
from input_pipeline.procedural.cutouts import read_cutouts

RED = (230, 30, 30)


def walking(moves: bool, wall: int = 120):
    """A red figure (60 x 24 pixels) that walks to the right before a wall."""
    frames = np.full((12, 96, 128, 3), wall, np.uint8)
    for i, frame in enumerate(frames):
        left = 10 + (7 * i if moves else 0)
        frame[20:80, left : left + 24] = RED
    return frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One clip with somebody who walks."""
    path = tmp_path_factory.mktemp("clips")
    write_video(path / "a.mp4", walking(moves=True), fps=8)
    return path


def test_cuts_out_what_moves(folder):
    cutouts = read_cutouts(folder)
    pictures = np.asarray(cutouts.pictures)
    assert len(pictures) >= 5
    opaque = pictures[..., 3] > 0.5
    assert opaque.mean() > 0.8
    np.testing.assert_allclose(np.median(pictures[opaque][:, :3], 0) * 255, RED, atol=25)
    np.testing.assert_allclose(cutouts.shape, 24 / 60, atol=0.15)
    assert cutouts.has_feet.all()


def test_refuses_clips_in_which_nothing_moves(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        read_cutouts(tmp_path)
    write_video(tmp_path / "a.mp4", walking(moves=False), fps=8)
    with pytest.raises(ValueError, match="nothing that moves"):
        read_cutouts(tmp_path)
