"""Windows of ordinary videos for training, each of which begins at a random moment."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from full4d_jax.config import DataConfig
from full4d_jax.media.video import read_video
from full4d_jax.session.errors import input_errors
from input_pipeline.footage import training_clips
from input_pipeline.loader import make_loader
from input_pipeline.video_files import open_video


def video_windows(
    data: DataConfig, *, seed: int, start: int, clips: int
) -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
    """Return batches of `clips` windows, of the size of `data`, from batch `start` on.

    Raises:
      InputError: there are no videos, or one cannot be used.
    """
    files = filmed_clips(data)
    for clip in files:
        read_video(clip, height=16, width=16, frames=data.frames)
    read = partial(_random_window, data=data)
    return make_loader(files, seed=seed, start_step=start, batch_size=clips, transform=read)


def filmed_clips(data: DataConfig) -> list[Path]:
    """Return the videos to train on, all but those that evaluation keeps.

    Raises:
      InputError: there are none.
    """
    with input_errors("data.videos", "give another folder"):
        return training_clips(data.videos)


def _random_window(
    path: Path, generator: np.random.Generator, data: DataConfig
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read frames of a video from a random moment on."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:  # some containers know only their own, sound included
            duration = (container.duration or 0) / av.time_base
        step = max(1 / data.fps, 1 / float(stream.average_rate or data.fps))
    last = max(0.0, duration - data.frames * step)
    size = {"height": data.height, "width": data.width, "frames": data.frames}
    start = last * generator.random()
    return read_video(path, **size, start=start, usual=data.fps).frames
