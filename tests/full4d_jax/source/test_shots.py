"""A clip with a cut is refused with the second at which the next shot begins."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from handheld_clips import arc, film

from full4d_jax.config import DataConfig
from full4d_jax.media.video import Video, read_video, write_video
from full4d_jax.session.errors import InputError
from full4d_jax.source.options import VideoOptions
from full4d_jax.source.shots import find_cut
from full4d_jax.source.video_source import open_video_source

FPS, SHOT = 8, 6  # frames a second, frames of the first shot
DATA = DataConfig(frames=12, height=72, width=128, fps=FPS)


def two_shots(path: Path) -> Path:
    """A film of a room, then of the same room upside down in the colours of its negative."""
    frames, _ = film(arc(12))
    frames[SHOT:] = 255 - frames[SHOT:, ::-1, ::-1]
    write_video(path, frames, FPS)
    return path


def read(path: Path, frames: int, fps: float) -> Video:
    return read_video(path, height=72, width=128, frames=frames, fps=fps)


def test_a_cut_is_refused_and_what_is_said_helps(tmp_path):
    path = two_shots(tmp_path / "edited.mp4")
    with pytest.raises(InputError, match=r"at 0.75 s.*--start 0.75.*--seconds 0.75") as refused:
        open_video_source(DATA, VideoOptions(path))
    assert str(path) in str(refused.value)
    six = DataConfig(frames=6, height=72, width=128, fps=FPS)
    for start in (0.0, 0.75):
        assert open_video_source(six, VideoOptions(path, start=start)).frames.shape[1] == 6


def test_a_fast_camera_and_few_frames_a_second_are_no_cut(tmp_path):
    """Frames that share nothing are joined by those between them."""
    noise = np.random.default_rng(0).integers(0, 255, (8, 60, 3), np.uint8)
    wide = cv2.resize(noise, (2400, 144), interpolation=cv2.INTER_CUBIC)
    frames = np.stack([wide[:, 16 * i :][:, :256] for i in range(64)])
    path = tmp_path / "pan.mp4"
    write_video(path, frames, 24)
    video = read(path, 4, 1.5)
    left, right = (x.ravel().astype(float) for x in (video.gray[0], video.gray[1]))
    assert np.corrcoef(left, right)[0, 1] < 0.3
    assert find_cut(video, path) is None
