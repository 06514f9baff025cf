"""The part of a film that is taken: where something moves, without a cut."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from full4d_jax.config import DataConfig
from full4d_jax.media.video import write_video
from full4d_jax.source.best_part import best_start
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.video_source import open_video_source

FPS = 8
DATA = DataConfig(frames=16, height=72, width=128, fps=FPS)  # 2 s


def room(seed: int, width: int = 160) -> np.ndarray:
    """A picture with detail, of which a film shows the middle."""
    noise = np.random.default_rng(seed).integers(30, 220, (12, width // 8, 3), np.uint8)
    return cv2.resize(noise, (width, 96), interpolation=cv2.INTER_CUBIC)


def resting(seconds: float, seed: int = 0) -> np.ndarray:
    """A film of a room where nothing happens."""
    return np.repeat(room(seed)[None], round(seconds * FPS), 0)


def ball(frames: np.ndarray, begin: float, end: float) -> None:
    """Let a white ball cross the frames from one second to another."""
    first, last = round(begin * FPS), round(end * FPS)
    for i in range(first, last):
        x = round(10 + 140 * (i - first) / (last - first))
        cv2.circle(frames[i], (x, 48), 12, (255, 255, 255), -1)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "film.mp4"


def test_the_part_with_motion_is_taken(path):
    frames = resting(10)
    ball(frames, 6, 8)
    write_video(path, frames, FPS)
    assert best_start(path, 2.0) == pytest.approx(6, abs=0.3)


def test_no_part_with_a_cut_is_taken(path):
    """The ball crosses the cut, so that the part with most motion has it inside."""
    frames = np.concatenate([resting(5), 255 - resting(5, seed=1)])
    ball(frames, 4, 6.5)
    write_video(path, frames, FPS)
    start = best_start(path, 2.0)
    assert start == pytest.approx(5, abs=0.3)
    assert start >= 5
    video = open_video_source(DATA, VideoOptions(path))  # which refuses cuts
    assert video.times[0] >= 5
