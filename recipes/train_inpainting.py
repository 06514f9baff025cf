"""Trains the inpainting network on holes that are drawn into real pictures.

    python recipes/train_inpainting.py --photos PHOTOS [--videos VIDEOS]

Holes hide people, animals and vehicles, and shall show what lies behind them. So the truth does not
count where it shows one itself: else the network learns to paint people into holes.

With e the error of a picture and d the distance from what it shows, in pixels, the loss is

    mean over holes of w (sqrt(e^2 + s^2) + e^2 / 2 + sqrt((differences of e)^2 + s^2) / 2)
    w = max(exp(-d / DECAY_PIXELS), FARTHEST)

where differences are those between neighbouring pixels along both axes and s = `SOFT` rounds the
absolute values off, plus `perceptual` times LPIPS from a share of the steps on. LPIPS counts at
most `JUDGED_DISTANCE` pixels from what the picture shows: farther in, the details are unknown,
and what lowers LPIPS there is a pattern that is in no scene (see `train_upsampler`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import tyro
from drawn_holes import draw_hole
from jaxtyping import Array, Float, UInt8
from numpy import ndarray
from real_pictures import crop, times_of, training_photos
from small_networks import (
    Metrics,
    Settings,
    descend,
    frozen_lpips,
    late_lpips,
    made_ahead,
    run,
    write_network,
)

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.geometry.push_pull import push_pull
from full4d_jax.media.metrics import Distance
from full4d_jax.models.functional import Params, draw_params
from full4d_jax.models.nets.unet import InpaintingNetConfig, added, inpainting_net
from full4d_jax.models.weights import load_shipped
from full4d_jax.session.errors import input_errors
from full4d_jax.source.backdrop import disc
from full4d_jax.source.subjects import class_shares
from full4d_jax.training.state import TrainState
from input_pipeline.media_files import (
    HELD_OUT,
    PICTURES,
    listed,
    read_picture,
    training_clips,
)
from input_pipeline.video_files import read_frames

# Rounds absolute errors off, in units of pictures in [-1, 1].
SOFT = 0.01
# Pixels from what the picture shows, by which weights fall to 1 / e.
DECAY_PIXELS = 24.0
FARTHEST = 0.2
# Pixels from what the picture shows, within which LPIPS counts.
JUDGED_DISTANCE = 16
# Of a clip whose frames are seen.
MOMENTS = 12
# Share of the pictures.
MIRRORED = 0.5
# Share of the pictures whose channels are in another order.
RECOLOURED = 0.3
# Of 255: where a crop shows at least so much of one, its truth does not count.
SUBJECT = 64
# Share of the classes above which something may be a subject.
FAINT = 0.3
# Short and long side at which all pictures are searched for subjects.
SEEN = (384, 512)
# So that a batch in which nothing counts has 100 dB.
LEAST_ERROR = 1e-10
# Pixels of that beside a subject that do not count either.
OUTLINE = 5
# Sides of a crop that the short side of a picture in memory has at most.
LARGEST = 2.0


class Holes(NamedTuple):
    """Pictures and the holes in them; a batch.

    Attributes:
      pictures: whole, sRGB.
      distance: pixels from what the picture shows, at most 255; 0 outside of the hole.
      counts: 1 where the picture shows no subject, else 0.
    """

    pictures: UInt8[Array, "b h w 3"]
    distance: UInt8[Array, "b h w"]
    counts: UInt8[Array, "b h w"]


class Picture(NamedTuple):
    """A photograph, or one of the `MOMENTS` of a clip."""

    path: Path
    moment: int | None


@dataclass(frozen=True)
class InpaintingSettings(Settings):
    """Options of this recipe."""

    perceptual: float = 0.15
    """Weight of LPIPS (AlexNet) in the loss; above 0 needs the extra `metrics`."""
    perceptual_from: float = 0.2
    """Share of the steps after which LPIPS counts."""
    filmed: float = 0.3
    """Share of the pictures that are frames of `videos`."""
    side: int = 256
    """Rows and columns of the pictures, a multiple of 8."""
    model: InpaintingNetConfig = InpaintingNetConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw", adam_learning_rate=0.001, adam_weight_decay=0.01, decay_share=0.6
    )
    training: TrainingConfig = TrainingConfig(
        batch=32, steps=8_000, log_every=50, checkpoint_every=500
    )


DEFAULT_SETTINGS = InpaintingSettings()


def main(
    settings: Annotated[InpaintingSettings, tyro.conf.arg(name="")] = DEFAULT_SETTINGS,
    *,
    out: Path = Path("runs/inpainting"),
    init: Path | None = None,
) -> None:
    """Train to the last step and write `inpainting.safetensors` and `.json` to `out`.

    Args:
      settings: the options.
      out: folder for everything.
      init: weights to start from.
    """
    params, summary = run(
        settings,
        out,
        init,
        draw_params(inpainting_net, settings.model, jax.random.key(settings.seed)),
        partial(train_step, settings),
        partial(batches, settings),
        frozen_lpips(settings),
    )
    summary["held_out"] = held_out_errors(settings, params)
    write_network(out / "inpainting.safetensors", params, settings.model, summary)
    print(f"held out: {summary['held_out']}")


def batches(settings: InpaintingSettings, start: int) -> Iterator[Holes]:
    """Return the batches from step `start` on.

    Raises:
      InputError: there are no photographs, or no videos where a folder is named.
    """
    photos = [Picture(path, None) for path in training_photos(settings.photos)]
    with input_errors("videos", "give another folder"):
        clips = training_clips(settings.videos) if settings.videos else []
    frames = [Picture(clip, moment) for clip in clips for moment in range(MOMENTS)]
    for drawn in made_ahead(partial(pictures_of, settings, photos, frames), start):
        yield as_holes(*drawn)


def as_holes(
    pictures: UInt8[ndarray, "b h w 4"], distances: UInt8[ndarray, "b h w"]
) -> Holes:
    """Return a batch on the device; the fourth channel is 255 where a picture shows a subject."""
    counts = (pictures[..., 3] < SUBJECT).astype(np.uint8)
    return Holes(
        jnp.asarray(pictures[..., :3]), jnp.asarray(distances), jnp.asarray(counts)
    )


def pictures_of(
    settings: InpaintingSettings,
    photos: list[Picture],
    frames: list[Picture],
    step: int,
) -> tuple[UInt8[ndarray, "b h w 4"], UInt8[ndarray, "b h w"]]:
    """Return the pictures of a step, some mirrored or of other colours, and their distances."""
    rng = np.random.default_rng((settings.seed, step))
    pictures = []
    distances = []
    for _ in range(settings.training.batch):
        is_filmed = rng.uniform() < settings.filmed
        several = frames if frames and is_filmed else photos
        picture, distance = with_hole(
            rng, several[rng.integers(len(several))], settings.side
        )
        if rng.uniform() < MIRRORED:
            picture = picture[:, ::-1]
        if rng.uniform() < RECOLOURED:
            picture = picture[..., [*rng.permutation(3), 3]]
        pictures.append(picture)
        distances.append(distance)
    return np.stack(pictures), np.stack(distances)


def with_hole(
    rng: np.random.Generator, picture: Picture, side: int
) -> tuple[UInt8[ndarray, "h w 4"], UInt8[ndarray, "h w"]]:
    """Return a crop of a picture, and how far pixels of its hole are from what it shows."""
    stored = read_photograph(picture, round(LARGEST * side))
    cut = np.round(255 * crop(rng, stored, (side, side))).astype(np.uint8)
    hole = draw_hole(rng, side).astype(np.uint8)
    pixels = cv2.distanceTransform(hole, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return cut, np.clip(np.ceil(pixels), 0, 255).astype(np.uint8)


# 1.4 MB each where `side` is 256.
@lru_cache(maxsize=1024)
def read_photograph(picture: Picture, largest: int) -> UInt8[ndarray, "h w 4"]:
    """Read a picture whose short side is at most `largest`; it stays in memory.

    The fourth channel is 255 where it shows a subject, else 0.
    """
    if picture.moment is None:
        pixels = read_picture(picture.path)
    else:
        times = times_of(picture.path)
        place = round((picture.moment + 0.5) / MOMENTS * (len(times) - 1))
        pixels = next(iter(read_frames(picture.path, times[place : place + 1])))
    short = min(pixels.shape[:2])
    if short > largest:
        height, width = (round(side * largest / short) for side in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return np.concatenate([pixels, subjects_of(pixels)[..., None]], -1)


def subjects_of(pixels: UInt8[ndarray, "h w 3"]) -> UInt8[ndarray, "h w"]:
    """Return 255 where a picture shows people, animals or vehicles, and a little beside them."""
    height, width = pixels.shape[:2]
    columns_and_rows = SEEN if height > width else SEEN[::-1]
    small = cv2.resize(pixels, columns_and_rows, interpolation=cv2.INTER_AREA)
    share = class_shares(_shipped("segmentation"), small[None])[0].sum(-1)
    near = cv2.dilate(255 * (share > FAINT).astype(np.uint8), disc(OUTLINE))
    return cv2.resize(near, (width, height), interpolation=cv2.INTER_NEAREST)


_shipped = cache(load_shipped)


def train_step(
    settings: InpaintingSettings,
    state: TrainState,
    holes: Holes,
    distance: Distance | None = None,
) -> tuple[TrainState, Metrics]:
    """Take one step, a pure function; `distance` is LPIPS where it counts in the loss."""
    truth, hole, filled = seen(holes)
    judged_pixels = hole * holes.counts

    def total(params: Params) -> tuple[Float[Array, ""], Metrics]:
        whole = inpainted(settings, params, filled, hole)
        value = loss(whole, truth, holes.distance, holes.counts)
        squares = judged_pixels[..., None] * (whole - truth) ** 2
        error = squares.sum() / jnp.maximum(3 * judged_pixels.sum(), 1)
        if distance is not None:
            is_near = (judged_pixels > 0) & (holes.distance <= JUDGED_DISTANCE)
            judged = jnp.where(is_near[..., None], whole, truth)
            shown = judged / 2 + 0.5, truth / 2 + 0.5
            value += late_lpips(settings, state.step, distance, *shown)
        return value, {"loss": value, "psnr": -10 * jnp.log10(error / 4 + LEAST_ERROR)}

    return descend(settings, state, total)


def inpainted(
    settings: InpaintingSettings,
    params: Params,
    filled: Float[Array, "b h w 3"],
    hole: Float[Array, "b h w"],
) -> Float[Array, "b h w 3"]:
    """Return whole pictures in [-1, 1]; outside of their holes nothing changes."""
    change = added(settings.model, params, filled, hole)
    return jnp.clip(filled + hole[..., None] * change, -1, 1)


def seen(
    holes: Holes,
) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w"], Float[Array, "b h w 3"]]:
    """Return pictures in [-1, 1], 1 in their holes, and the pictures with these filled."""
    truth = holes.pictures.astype(jnp.float32) / 127.5 - 1
    hole = (holes.distance > 0).astype(jnp.float32)
    return truth, hole, push_pull(truth, 1 - hole[..., None])


def loss(
    whole: Float[Array, "b h w 3"],
    truth: Float[Array, "b h w 3"],
    distance: UInt8[Array, "b h w"],
    counts: UInt8[Array, "b h w"],
) -> Float[Array, ""]:
    """Return the module's loss without LPIPS, of the pixels that count.

    Where the error does not count it is 0, also in the differences of neighbours.
    """
    error = counts[..., None] * (whole - truth)
    weight = jnp.maximum(
        jnp.exp(-distance.astype(jnp.float32) / DECAY_PIXELS), FARTHEST
    )
    weight = (weight * (distance > 0) * counts)[..., None]

    def soft(x: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.sqrt(x**2 + SOFT**2) - SOFT

    down = soft(jnp.diff(error, axis=1)) * weight[:, 1:]
    across = soft(jnp.diff(error, axis=2)) * weight[:, :, 1:]
    total = (weight * (soft(error) + error**2 / 2)).sum() + (
        down.sum() + across.sum()
    ) / 2
    return total / (3 * jnp.maximum(weight.sum(), 1))


def held_out_errors(settings: InpaintingSettings, params: Params) -> dict[str, float]:
    """Return PSNR in holes of held-out photographs, dB: push-pull's and ours, means over them."""
    photos = listed(Path(settings.photos), PICTURES)[HELD_OUT - 1 :: HELD_OUT]

    @jax.jit
    def decibels(holes: Holes) -> Float[Array, "2"]:
        truth, hole, averages = seen(holes)
        counts = hole * holes.counts
        whole = inpainted(settings, params, averages, hole)
        squares = [
            counts[..., None] * (filled - truth) ** 2 for filled in (averages, whole)
        ]
        return jnp.stack(
            [-10 * jnp.log10(x.sum() / (12 * counts.sum())) for x in squares]
        )

    values = []
    for number, path in enumerate(photos):
        rng = np.random.default_rng(number)
        picture, distance = with_hole(rng, Picture(path, None), settings.side)
        holes = as_holes(picture[None], distance[None])
        if (holes.counts * (holes.distance > 0)).any():
            values.append(decibels(holes))
    if not values:
        return {}
    means = np.mean(values, 0)
    return {"push_pull": round(float(means[0]), 2), "ours": round(float(means[1]), 2)}


if __name__ == "__main__":
    tyro.cli(main)
