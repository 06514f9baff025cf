"""Crops of photographs, as textures of procedural worlds."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from input_pipeline.footage import PICTURES, first_picture, listed

CROPS = 96
SIDE = 96
MIN_CROP = 64  # pixels of a photo that a crop spans at least


def read_crops(
    folder: str | Path, *, seed: int, count: int = CROPS, side: int = SIDE
) -> Float32[np.ndarray, "n s s 3"]:
    """Cut squares of any size and place out of the photos of a folder, in [0, 1].

    Every photo gives as many squares as the others, up to one; another seed draws others.

    Raises:
      ValueError: there are no photos, or one does not decode.
    """
    files = listed(Path(folder), PICTURES)
    if not files:
        raise ValueError(f"photos {folder}: found no picture, expected some")
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(files)) for _ in range(1 + count // len(files))])
    return np.stack([_crop(first_picture(files[i]), rng, side) for i in order[:count]])


def _crop(photo: np.ndarray, rng: np.random.Generator, side: int) -> Float32[np.ndarray, "s s 3"]:
    height, width = photo.shape[:2]
    most = min(height, width)
    least = min(MIN_CROP, most)
    size = round(least * (most / least) ** rng.uniform(0.3, 1.0))
    top = rng.integers(height - size + 1)
    left = rng.integers(width - size + 1)
    square = photo[top : top + size, left : left + size]
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
