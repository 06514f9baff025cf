"""Pictures from before and after a clip: of the same view, in the same light."""

import numpy as np
import pytest

from full4d_jax.media.video import read_video, write_video
from full4d_jax.source.rest_of_film import MAX_PICTURES_AROUND, pictures_around

FPS = 8
SECONDS = 6
SIZE = {"height": 96, "width": 128, "frames": 8}


@pytest.fixture
def film() -> np.ndarray:
    """A wall of squares; a red person stands there from 2 s on."""
    squares = np.random.default_rng(0).integers(60, 200, (12, 16, 3)).astype(np.uint8)
    wall = squares.repeat(8, 0).repeat(8, 1)
    frames = np.stack([wall] * (FPS * SECONDS))
    frames[2 * FPS :, 30:80, 50:70] = (200, 40, 40)
    return frames


def around(path, frames: np.ndarray) -> np.ndarray | None:
    write_video(path, frames, FPS)
    return pictures_around(path, read_video(path, **SIZE, start=3.0))


def test_they_show_what_was_there_before(film, tmp_path):
    pictures = around(tmp_path / "a.mp4", film)
    assert pictures is not None
    assert pictures.shape == (MAX_PICTURES_AROUND, 96, 128, 3)
    empty = np.abs(pictures.astype(int) - film[0]).mean((1, 2, 3)) < 4
    assert 3 <= empty.sum() <= 7, "2 of 5 seconds outside of the clip"
    assert empty[: empty.sum()].all(), "in the order of the film"


def test_another_view_and_other_light_are_left_out(film, tmp_path):
    film[: 2 * FPS] = np.roll(film[: 2 * FPS], 5, 2)  # the camera was moved at 2 s
    film[5 * FPS :] = film[5 * FPS :] // 2  # a lamp goes out at 5 s
    pictures = around(tmp_path / "a.mp4", film)
    assert pictures is not None
    assert np.abs(pictures.astype(int) - film[3 * FPS]).mean((1, 2, 3)).max() < 4
