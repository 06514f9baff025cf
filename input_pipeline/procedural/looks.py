"""What makes procedural worlds look like photographs: crops of photos, people cut out of videos."""

from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from input_pipeline.procedural.cutouts import Cutouts, read_cutouts
from input_pipeline.procedural.photos import read_crops

FRESH = 250  # training steps that see the same crops


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
