"""Crops of real photographs and of frames of clips, for training."""

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from full4d_jax.session.errors import InputError
from input_pipeline.footage import HELD_OUT, PICTURES, listed, read_picture, training_clips
from input_pipeline.video_files import frame_times, read_frames

SMALLEST = 0.6  # share of the largest crop of a shape that a crop spans at least, along a side


def training_photos(folder: str) -> list[Path]:
    """Return the folder's photographs but every fifth by name, which are held out.

    Raises:
      InputError: there is none.
    """
    photos = listed(Path(folder), PICTURES) if folder else []
    if not photos:
        expected = "photographs"
        do = "give a folder with --data.photos"
        raise InputError("config", f"data.photos {folder}", "no picture", expected, do)
    return [photo for i, photo in enumerate(photos) if i % HELD_OUT != HELD_OUT - 1]


def real_crop(
    rng: np.random.Generator,
    photos: list[Path],
    videos: str,
    filmed: float,
    size: tuple[int, int],
) -> Float32[ndarray, "h w 3"]:
    """Return a crop in [0, 1] of a photograph, or of a frame of a training clip.

    Args:
      rng: draws the picture and the place of the crop.
      photos: files to draw from.
      videos: folder of clips to draw from; "" for photographs alone.
      filmed: share of the crops that are of clips.
      size: rows and columns.
    """
    if videos and rng.uniform() < filmed:
        clips = training_clips(videos)
        clip = clips[rng.integers(len(clips))]
        times = _times(clip)
        picture = next(iter(read_frames(clip, times[rng.integers(len(times), size=1)])))
    else:
        picture = read_picture(photos[rng.integers(len(photos))])
    return crop(rng, picture, size)


def crop(
    rng: np.random.Generator, picture: UInt8[ndarray, "H W 3"], size: tuple[int, int]
) -> Float32[ndarray, "h w 3"]:
    """Return a crop of the shape of `size`, anywhere in the picture, at that size and in [0, 1]."""
    height, width = picture.shape[:2]
    scale = rng.uniform(SMALLEST, 1) * min(height / size[0], width / size[1])
    rows, columns = (max(1, round(scale * side)) for side in size)
    top = rng.integers(height - rows + 1)
    left = rng.integers(width - columns + 1)
    cut = picture[top : top + rows, left : left + columns]
    small = cv2.resize(cut, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


@lru_cache
def _times(clip: Path) -> Float64[ndarray, "t"]:
    """Return the times of a clip's frames, which take long to read."""
    return frame_times(clip)
