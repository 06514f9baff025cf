"""What makes procedural worlds look like photographs: crops of photos, people cut out of videos."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from input_pipeline.footage import PICTURES, first_picture, listed
from input_pipeline.procedural.cutouts import Cutouts, read_cutouts

FRESH = 250  # training steps that see the same crops
CROPS = 96
SIDE = 96
MIN_CROP = 64  # pixels of a photo that a crop spans at least


class Looks(NamedTuple):
    """Pictures for surfaces and for cards; None leaves procedural textures, or no cards."""

    textures: Float[Array, "n s s 3"] | None = None  # in [0, 1]
    cutouts: Cutouts | None = None


NO_PHOTOS = Looks()


def looks_at(step: int, *, photos: str, videos: str, seed: int) -> Looks:
    """Return the looks of a training step.

    Args:
      step: the step; every `FRESH` steps other crops are drawn.
      photos: folder of photographs, or nothing.
      videos: folder of clips from cameras at rest, or nothing.
      seed: another one draws other crops.

    Raises:
      ValueError: as `read_crops` and `read_cutouts`.
    """
    return Looks(_crops(photos, seed, step // FRESH), _pieces(videos))


@lru_cache(1)
def _crops(photos: str, seed: int, block: int) -> Array | None:
    return jnp.asarray(read_crops(photos, seed=seed * 2**24 + block)) if photos else None


@lru_cache(1)
def _pieces(videos: str) -> Cutouts | None:
    return read_cutouts(videos) if videos else None


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
