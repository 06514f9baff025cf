"""Appearance of procedural worlds: crops of photographs, people cut out of videos."""

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from cards import Cutouts, paint_cards, read_cutouts, stand_cards
from einops import rearrange
from jaxtyping import Array, Float, Float32, Integer

from input_pipeline.media_files import PICTURES, first_picture, listed
from input_pipeline.procedural.rich_world import OBJECTS
from input_pipeline.procedural.scene import (
    ProceduralClip,
    image_rays,
    procedural_scene,
    sample_filmed_world,
)

# Training steps that see the same crops.
FRESH = 250
CROPS = 96
SIDE = 96
# Pixels of a photo that a crop spans at least.
MIN_CROP = 64


class Appearance(NamedTuple):
    """Pictures for surfaces and for cards; None leaves procedural textures, or no cards."""

    # In [0, 1].
    textures: Float[Array, "n s s 3"] | None = None
    cutouts: Cutouts | None = None


NO_PHOTOS = Appearance()


def appearance_at(step: int, *, photos: str, videos: str, seed: int) -> Appearance:
    """Return the appearance of a training step.

    Args:
      step: the step; every `FRESH` steps other crops are drawn.
      photos: folder of photographs, or nothing.
      videos: folder of clips from cameras at rest, or nothing.
      seed: another one draws other crops.

    Raises:
      ValueError: as `read_crops` and `read_cutouts`.
    """
    return Appearance(_crops(photos, seed, step // FRESH), _pieces(videos))


@lru_cache(1)
def _crops(photos: str, seed: int, block: int) -> Array | None:
    return (
        jnp.asarray(read_crops(photos, seed=seed * 2**24 + block)) if photos else None
    )


@lru_cache(1)
def _pieces(videos: str) -> Cutouts | None:
    return read_cutouts(videos) if videos else None


@jax.default_matmul_precision("highest")
def scene_with_appearance(
    index: Integer[Array, ""] | int, appearance: Appearance, **size: Any
) -> ProceduralClip:
    """Return a procedural scene with this appearance; its cards stand or glide before the source.

    Args:
      index: number of the scene.
      appearance: photographs for half of the surfaces of rich worlds, and cut-outs.
      size: further arguments of `procedural_scene`; `worlds` is one of them.
    """
    clip = procedural_scene(index, textures=appearance.textures, **size)
    if appearance.cutouts is None:
        return clip
    cutouts = appearance.cutouts
    filmed = sample_filmed_world(index, **size)
    width = size["width"]
    height = size["height"]
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), index), OBJECTS)
    reach = 0.5 * width / filmed.intrinsics[0, 0]
    floor = filmed.world.room_max[1]
    cards = stand_cards(key, cutouts, filmed.camera_to_world[0, 0], reach, floor)

    def one(seen: tuple[Array, ...]) -> tuple[Array, Array]:
        time, pose, colors, depth = seen
        rays = image_rays(pose, filmed.intrinsics, height, width)
        painted = paint_cards(cards, cutouts, time, pose[:3, 3], rays, (colors, depth))
        return painted[0], painted[1]

    passed = filmed.timestamps - filmed.timestamps[0]
    poses = rearrange(filmed.camera_to_world, "v t i j -> (v t) i j")
    colors = rearrange(clip.frames, "v t h w c -> (v t) c (h w)")
    depth = rearrange(clip.depth * filmed.unit, "v t h w -> (v t) (h w)")
    times = jnp.tile(passed, len(clip.frames))
    colors, depth = jax.lax.map(one, (times, poses, colors, depth))
    return clip._replace(
        frames=rearrange(colors, "(v t) c (h w) -> v t h w c", t=len(passed), h=height),
        depth=rearrange(depth, "(v t) (h w) -> v t h w", t=len(passed), h=height)
        / filmed.unit,
    )


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
    order = np.concatenate(
        [rng.permutation(len(files)) for _ in range(1 + count // len(files))]
    )
    return np.stack([_crop(first_picture(files[i]), rng, side) for i in order[:count]])


def _crop(
    photo: np.ndarray, rng: np.random.Generator, side: int
) -> Float32[np.ndarray, "s s 3"]:
    height, width = photo.shape[:2]
    most = min(height, width)
    least = min(MIN_CROP, most)
    size = round(least * (most / least) ** rng.uniform(0.3, 1.0))
    top = rng.integers(height - size + 1)
    left = rng.integers(width - size + 1)
    square = photo[top : top + size, left : left + size]
    return (
        cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA).astype(
            np.float32
        )
        / 255
    )
