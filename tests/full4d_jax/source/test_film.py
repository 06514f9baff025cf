"""Shots of a video: cuts, the part with motion, pictures from before and after."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from handheld_clips import arc, film

from full4d_jax.config import Size
from full4d_jax.media.video_io import read_video, write_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.film import (
    MAX_PICTURES_AROUND,
    best_start,
    find_cut,
    pictures_around,
)
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video_source

FPS = 8
SIZE: dict[str, Any] = {"height": 72, "width": 128}
TWO_SECONDS = Size(views=1, frames=16, **SIZE)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "film.mp4"


def room(seed: int, width: int = 160) -> np.ndarray:
    """A picture with detail, of which a video shows the middle."""
    noise = np.random.default_rng(seed).integers(30, 220, (12, width // 8, 3), np.uint8)
    return cv2.resize(noise, (width, 96), interpolation=cv2.INTER_CUBIC)


def resting(seconds: float, seed: int = 0) -> np.ndarray:
    """A video of a room where nothing happens."""
    return np.repeat(room(seed)[None], round(seconds * FPS), 0)


def ball(frames: np.ndarray, begin: float, end: float) -> None:
    """Let a white ball cross the frames from one second to another."""
    first, last = round(begin * FPS), round(end * FPS)
    for i in range(first, last):
        x = round(10 + 140 * (i - first) / (last - first))
        cv2.circle(frames[i], (x, 48), 12, (255, 255, 255), -1)


def test_a_cut_is_refused_and_what_is_said_helps(path):
    """A video of a room, then of the same room upside down in the colours of its negative."""
    frames, _ = film(arc(12))
    frames[6:] = 255 - frames[6:, ::-1, ::-1]
    write_video(path, frames, FPS)
    with pytest.raises(
        InputError, match=r"film.mp4.*0.75 s.*--start 0.75.*--seconds 0.75"
    ):
        open_video_source(Size(1, 12, **SIZE), VideoOptions(path), FPS)
    six = Size(1, 6, **SIZE)
    for start in (0.0, 0.75):
        shot = open_video_source(six, VideoOptions(path, start=start), FPS)
        assert shot.frames.shape[1] == 6


def test_a_fast_camera_and_few_frames_a_second_are_no_cut(path):
    """Frames that share nothing are joined by those between them."""
    noise = np.random.default_rng(0).integers(0, 255, (8, 60, 3), np.uint8)
    wide = cv2.resize(noise, (2400, 144), interpolation=cv2.INTER_CUBIC)
    write_video(path, np.stack([wide[:, 16 * i :][:, :256] for i in range(64)]), 24)
    video = read_video(path, **SIZE, frames=4, fps=1.5)
    left, right = (x.ravel().astype(float) for x in (video.gray[0], video.gray[1]))
    assert np.corrcoef(left, right)[0, 1] < 0.3
    assert find_cut(video, path) is None


def test_the_part_with_motion_and_no_cut_is_taken(path):
    """The ball crosses the cut, so that the part with most motion has it inside."""
    frames = np.concatenate([resting(5), 255 - resting(5, seed=1)])
    ball(frames, 4, 6.5)
    write_video(path, frames, FPS)
    start = best_start(path, 2.0)
    assert start == pytest.approx(5, abs=0.3)
    assert start >= 5
    video = open_video_source(
        TWO_SECONDS, VideoOptions(path), FPS
    )  # which refuses cuts
    assert video.times[0] >= 5


def flight(seconds: float) -> np.ndarray:
    """A video of a wall and of posts before it, along which the camera travels."""
    frames = round(seconds * FPS)
    wall, posts = room(2, 160 + 2 * frames), room(3, 160 + 4 * frames)
    posts[:, np.arange(posts.shape[1]) % 60 > 20] = 0
    film = []
    for i in range(frames):
        near = posts[:, 4 * i :][:, :160]
        film.append(np.where(near > 0, near, wall[:, 2 * i :][:, :160]))
    return np.stack(film)


@pytest.mark.parametrize("rest", [0, 4])
def test_a_part_before_which_the_camera_rests_is_taken(path, rest):
    """A flight changes nearly everything, but nothing in it moves by itself."""
    still = resting(4)
    ball(still, 0.5, 3.5)
    write_video(path, np.concatenate([still, flight(4)][:: -1 if rest else 1]), FPS)
    assert rest <= best_start(path, 2.0) <= rest + 2


@pytest.fixture
def visited() -> np.ndarray:
    """Six seconds of a wall of squares; a red person stands there from 2 s on."""
    squares = np.random.default_rng(0).integers(60, 200, (12, 16, 3)).astype(np.uint8)
    wall = squares.repeat(8, 0).repeat(8, 1)
    frames = np.stack([wall] * (FPS * 6))
    frames[2 * FPS :, 30:80, 50:70] = (200, 40, 40)
    return frames


def around(path, frames: np.ndarray) -> np.ndarray | None:
    write_video(path, frames, FPS)
    clip = read_video(path, height=96, width=128, frames=8, start=3.0)
    return pictures_around(path, clip)


def test_they_show_what_was_there_before(visited, path):
    pictures = around(path, visited)
    assert pictures is not None
    assert pictures.shape == (MAX_PICTURES_AROUND, 96, 128, 3)
    empty = np.abs(pictures.astype(int) - visited[0]).mean((1, 2, 3)) < 4
    assert 3 <= empty.sum() <= 7, "2 of 5 seconds outside of the clip"
    assert empty[: empty.sum()].all(), "in the order of the film"


def test_another_view_and_other_light_are_left_out(visited, path):
    # The camera was moved at 2 s.
    visited[: 2 * FPS] = np.roll(visited[: 2 * FPS], 5, 2)
    visited[5 * FPS :] = visited[5 * FPS :] // 2  # a lamp goes out at 5 s
    pictures = around(path, visited)
    assert pictures is not None
    assert np.abs(pictures.astype(int) - visited[3 * FPS]).mean((1, 2, 3)).max() < 4
