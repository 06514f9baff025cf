"""Crops of real photographs and of frames of clips, for training."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from full4d_jax.session.errors import InputError
from input_pipeline.media_files import (
    HELD_OUT,
    PICTURES,
    listed,
    read_picture,
    training_clips,
)
from input_pipeline.video_files import frame_times, read_frames

# Share of the largest crop of a shape that a crop spans at least, along a side.
SMALLEST = 0.6


class RealPictures(NamedTuple):
    """Photographs and clips to train on; a share `filmed` of what is drawn is frames of the clips.

    Where one of the two is empty, all comes from the other.
    """

    photos: list[Path]
    clips: list[Path]
    filmed: float

    def draw(
        self, rng: np.random.Generator, size: tuple[int, int]
    ) -> Float32[ndarray, "h w 3"]:
        """Return a crop in [0, 1], `size` rows and columns, of a photograph or a frame."""
        is_filmed = rng.uniform() < self.filmed
        if self.clips and (is_filmed or not self.photos):
            clip = self.clips[rng.integers(len(self.clips))]
            times = times_of(clip)
            picture = next(
                iter(read_frames(clip, times[rng.integers(len(times), size=1)]))
            )
        else:
            picture = read_picture(self.photos[rng.integers(len(self.photos))])
        return crop(rng, picture, size)


def training_pictures(
    photos: str, videos: str, *, filmed: float, rooms: str
) -> tuple[RealPictures, RealPictures]:
    """Return the pictures that show rooms, and all others; every fifth by name is held out.

    Args:
      photos: folder of photographs.
      videos: folder of clips, or nothing.
      filmed: share of what is drawn that is frames of the clips.
      rooms: file with the names of what shows rooms, one a line, or nothing.

    Raises:
      InputError: there is no photograph.
      ValueError: all pictures or none show rooms by that file.
    """
    files = training_photos(photos)
    clips = training_clips(videos) if videos else []
    names = set(Path(rooms).read_text().split("\n")) - {""} if rooms else set()
    of_rooms, others = (
        RealPictures(
            [file for file in files if (file.name in names) == is_room],
            [clip for clip in clips if (clip.name in names) == is_room],
            filmed,
        )
        for is_room in (True, False)
    )
    named = [*of_rooms.photos, *of_rooms.clips]
    if bool(named) != bool(names) or len(named) == len(files) + len(clips):
        raise ValueError(
            f"{rooms}: found names of {len(named)} pictures, expected some, not all"
        )
    return of_rooms, others


def training_photos(folder: str) -> list[Path]:
    """Return the folder's photographs but every fifth by name, which are held out.

    Raises:
      InputError: there is none.
    """
    photos = listed(Path(folder), PICTURES) if folder else []
    if not photos:
        expected = "photographs"
        do = "give a folder with --photos"
        raise InputError("option", f"--photos {folder}", "no picture", expected, do)
    return [photo for i, photo in enumerate(photos) if i % HELD_OUT != HELD_OUT - 1]


def crop(
    rng: np.random.Generator, picture: UInt8[ndarray, "H W c"], size: tuple[int, int]
) -> Float32[ndarray, "h w c"]:
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
def times_of(clip: Path) -> Float64[ndarray, "t"]:
    """Return the times of a clip's frames, which take long to read."""
    return frame_times(clip)
