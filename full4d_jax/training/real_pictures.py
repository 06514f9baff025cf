"""Crops of real photographs and of frames of clips, for training."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from full4d_jax.config.depth import DepthDataConfig
from full4d_jax.session.errors import InputError, input_errors, require_file
from input_pipeline.footage import (
    HELD_OUT,
    PICTURES,
    VIDEOS,
    listed,
    read_picture,
    training_clips,
)
from input_pipeline.opening import read_regular
from input_pipeline.video_files import frame_times, read_frames

SMALLEST = 0.6  # share of the largest crop of a shape that a crop spans at least, along a side


class RealPictures(NamedTuple):
    """Photographs and clips to train on; a share `filmed` of what is drawn is frames of the clips.

    Where one of the two is empty, all comes from the other.
    """

    photos: list[Path]
    clips: list[Path]
    filmed: float

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Float32[ndarray, "h w 3"]:
        """Return a crop in [0, 1], `size` rows and columns, of a photograph or a frame."""
        is_filmed = rng.uniform() < self.filmed
        if self.clips and (is_filmed or not self.photos):
            clip = self.clips[rng.integers(len(self.clips))]
            times = times_of(clip)
            picture = next(iter(read_frames(clip, times[rng.integers(len(times), size=1)])))
        else:
            picture = read_picture(self.photos[rng.integers(len(self.photos))])
        return crop(rng, picture, size)


def training_pictures(data: DepthDataConfig) -> tuple[RealPictures, RealPictures]:
    """Return the pictures of rooms, by the names in `data.rooms`, and all others.

    Every fifth photograph and every fifth clip by name is held out.

    Raises:
      InputError: there is no photograph, `data.rooms` cannot be used, or all pictures or none show
        rooms by it.
    """
    photos = training_photos(data.photos)
    clips = training_clips(data.videos) if data.videos else []
    names = room_names(data)
    rooms, rest = (
        RealPictures(
            [photo for photo in photos if (photo.name in names) == is_room],
            [clip for clip in clips if (clip.name in names) == is_room],
            data.filmed,
        )
        for is_room in (True, False)
    )
    is_all = not rest.photos and not rest.clips
    is_none = not rooms.photos and not rooms.clips
    if is_all or (names and is_none):
        expected = "names of some, but not all, of the pictures that are not held out"
        what = "names of all" if is_all else "names of none"
        raise InputError("data.rooms", data.rooms, what, expected, "change the names")
    return rooms, rest


def room_names(data: DepthDataConfig) -> set[str]:
    """Read the names of photographs and clips that show rooms; none without `data.rooms`.

    Raises:
      InputError: the file cannot be read, or names what is in neither folder.
    """
    if not data.rooms:
        return set()
    path = Path(data.rooms)
    do = "give names of files in data.photos and data.videos, one a line"
    require_file("data.rooms", path, "a text file", do)
    with input_errors("data.rooms", do, path):
        lines = read_regular(path).decode().splitlines()
    names = {line.strip() for line in lines if line.strip()}
    folders = ((data.photos, PICTURES), (data.videos, VIDEOS))
    files = {
        file.name for folder, endings in folders if folder for file in listed(Path(folder), endings)
    }
    missing = sorted(names - files)
    if missing:
        expected = "names of photographs and clips of the folders"
        raise InputError("data.rooms", path, missing[0], expected, do)
    return names


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
