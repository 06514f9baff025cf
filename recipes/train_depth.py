"""Trains the depth network from Tiefenrausch and FastDepth, to be nearer to the truth.

    python recipes/train_depth.py --photos PHOTOS [--videos VIDEOS --rooms FILE]

Every step sees procedural frames with their exact depth, whose loss is below, and as
many real pictures, of which it must keep the published networks' answers: of rooms the depth D of
FastDepth, of all others that of Tiefenrausch. With e = d - log D, where d is the network's log
depth, both means over cells of `CELL` pixels,

    anchor = mean |e - median e| + mean difference of e between neighbours 1 and 2 cells apart

which knows no scale. Means, because outlines of both are soft and need not be kept.

Of procedural frames the loss counts the range of depth, the shape of disparity, and edges of both.
With e = d - median(d) - log z, where d is the network's output and z true depth in units of its
own median, the first part is the mean of |e| and of the relative error |exp(e) - 1| (what is near
matters most for parallax): it knows no scale, as the median is what depth is used with. With

    s(x) = (x - median(x)) / mean |x - median(x)|

the second part is the mean |s(exp(-d)) - s(1 / z)|: it knows neither scale nor shift of
disparity, so the shape counts where the range is unknown. To both comes the mean of their
differences between neighbours 1, 2 and 4 pixels apart (flat walls, sharp edges).

Crops of photographs on surfaces, and people cut out of videos, come from
`appearance`; `depth_augmentation` says what happens to all frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from appearance import NO_PHOTOS, Appearance, appearance_at, scene_with_appearance
from depth_augmentation import augment
from einops import reduce
from jaxtyping import Array, Bool, Float, Float32, Integer, PRNGKeyArray
from numpy import ndarray
from real_pictures import RealPictures, training_pictures
from small_networks import Metrics, Settings, descend, made_ahead, run, write_network
from wide_scene import wide_frame

from full4d_jax.config import OptimizerConfig, TrainingConfig
from full4d_jax.config.experiment import ALL_SCENES
from full4d_jax.models.functional import Params
from full4d_jax.models.nets.depth_net import DepthNetConfig, init_params, log_depth
from full4d_jax.models.nets.published import fast_log_disparity
from full4d_jax.models.nets.tiefenrausch import load_tiefenrausch, log_disparity
from full4d_jax.models.weights import load_shipped
from full4d_jax.session.errors import input_errors
from full4d_jax.source.depth.our_network import (
    TIEFENRAUSCH,
    DepthNetwork,
    depth_errors,
    predict_depth,
)
from full4d_jax.training.state import TrainState, copied
from input_pipeline.procedural.scene import HELD_OUT_START

# Pixels per side.
CELL = 16
# Steps in a row of one size, as each size is a program of its own.
TURN = 100
# Depths are clipped to this range.
NEAREST = 0.05
FARTHEST = 10.0
# Weight of the second part.
SHAPE = 0.4
# Added to the deviation of disparity, whose median is 1: a wall has no shape.
FLATTEST = 0.05
Worlds = Literal["rich", "wide"]
Size = tuple[int, int, int]
Pictures = tuple[Float32[ndarray, "b h w 3"], Bool[ndarray, " b"]]
Frames = tuple[Float[Array, "b h w 3"], Float[Array, "b h w"]]


@dataclass(frozen=True)
class DepthSettings(Settings):
    """Options of this recipe.

    Sizes are (rows rendered, rows seen, columns seen), the last two multiples of 32; frames that
    are seen at fewer pixels are antialiased. The network is used at a long side of 384, and what it
    knows depends on the size at which it sees things, so these are not far below.
    """

    anchor: float = 1.0
    """Weight of Tiefenrausch's and FastDepth's own depth of real pictures in the loss."""
    sizes: tuple[Size, ...] = ((288, 192, 320), (480, 320, 192), (384, 256, 256))
    """Sizes that take turns, each for 100 steps in a row."""
    worlds: Worlds = "wide"
    """Content of the procedural scenes."""
    filmed: float = 0.3
    """Share of the real pictures that are frames of `videos`."""
    rooms: str = ""
    """File with the names of photographs and clips that show rooms, one a line: of them the network
    must keep FastDepth's depth."""
    roomy: float = 0.35
    """Share of the real pictures that are of `rooms`, if there are any."""
    held_out: int = 32
    """Frames that the summary's errors are means of."""
    model: DepthNetConfig = DepthNetConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        kind="adamw",
        adam_learning_rate=1e-4,
        adam_weight_decay=0.0,
        warmup=60,
        decay_share=0.5,
    )
    training: TrainingConfig = TrainingConfig(
        batch=1, steps=1200, log_every=20, checkpoint_every=50
    )
    """`batch` counts procedural frames; as many real pictures come to them."""


class PublishedParams(NamedTuple):
    """Parameters of the networks by others: of the world, Tiefenrausch, and of rooms, FastDepth."""

    world: Params
    room: Params


DEFAULT_SETTINGS = DepthSettings()


def main(
    settings: Annotated[DepthSettings, tyro.conf.arg(name="")] = DEFAULT_SETTINGS,
    *,
    out: Path = Path("runs/depth"),
    init: Path | None = None,
) -> None:
    """Train to the last step and write `depth.safetensors` and `.json` to `out`.

    Args:
      settings: the options.
      out: folder for everything.
      init: weights of an earlier such training; default: the published networks.
    """
    published = PublishedParams(
        load_tiefenrausch(TIEFENRAUSCH), load_shipped("fast_depth")
    )
    # Its own buffers, which the step donates.
    trunk = copied(published.world)
    params, summary = run(
        settings,
        out,
        init,
        init_params(settings.model, trunk, jax.random.key(settings.seed)),
        partial(train_step, settings),
        partial(batches, settings, published),
        frozen=(published.room,),
    )
    summary["held_out"] = held_out_errors(settings, {**params, "rooms": published.room})
    write_network(out / "depth.safetensors", params, settings.model, summary)
    print(f"held out: {summary['held_out']}")


def batches(
    settings: DepthSettings, published: PublishedParams, start: int
) -> Iterator[tuple[Frames, Frames]]:
    """Return the batches from step `start` on: procedural and real frames, and their depth."""
    rooms, rest = training_pictures(
        settings.photos, settings.videos, filmed=settings.filmed, rooms=settings.rooms
    )
    crops = made_ahead(partial(real_crops, settings, rooms, rest), start)
    folders = {"photos": settings.photos, "videos": settings.videos}
    for step, (pictures, are_rooms) in enumerate(crops, start):
        with input_errors("config", "change --photos or --videos"):
            appearance = appearance_at(step, **folders, seed=settings.seed)
        yield (
            procedural_depth_batch(settings, step, size_at(settings, step), appearance),
            real_batch(
                published, _key(settings, step), jnp.asarray(pictures), are_rooms
            ),
        )


def size_at(settings: DepthSettings, step: int) -> Size:
    """Return the size of a step's frames."""
    return settings.sizes[step // TURN % len(settings.sizes)]


def real_crops(
    settings: DepthSettings, rooms: RealPictures, rest: RealPictures, step: int
) -> Pictures:
    """Read the real pictures of a step, and say which of them show rooms."""
    rng = np.random.default_rng((settings.seed, step))
    size = size_at(settings, step)[1:]
    has_rooms = bool(rooms.photos or rooms.clips)
    are_rooms = (rng.uniform(size=settings.training.batch) < settings.roomy) & has_rooms
    crops = [(rooms if is_room else rest).draw(rng, size) for is_room in are_rooms]
    return np.stack(crops), are_rooms


@partial(jax.jit, static_argnums=(0, 2))
def procedural_depth_batch(
    settings: DepthSettings,
    step: Integer[Array, ""] | int,
    size: Size,
    appearance: Appearance = NO_PHOTOS,
) -> Frames:
    """Render the procedural frames of one step, augmented, in [-1, 1], and their depth."""
    count = settings.training.batch
    first = jnp.uint32(settings.seed) * 2**24 + jnp.uint32(step) * count
    indices = (first + jnp.arange(count, dtype=jnp.uint32)) % ALL_SCENES
    frames, depth = procedural_frames(indices, size, settings.worlds, appearance)
    keys = jax.random.split(jax.random.fold_in(_key(settings, step), 1), count)
    return jax.vmap(augment)(keys, frames, depth)


@jax.jit
def real_batch(
    published: PublishedParams,
    key: PRNGKeyArray,
    crops: Float[Array, "b h w 3"],
    are_rooms: Bool[Array, " b"],
) -> Frames:
    """Return real pictures, augmented, in [-1, 1], and the published depth of the originals."""
    world, *_ = log_disparity(published.world, 2 * crops - 1)
    room = fast_log_disparity(published.room, 2 * crops - 1)
    depth = jnp.exp(-jnp.where(are_rooms[:, None, None], room, world))
    return jax.vmap(augment)(jax.random.split(key, len(crops)), crops, depth)


def _key(settings: DepthSettings, step: Integer[Array, ""] | int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(settings.seed), step)


def train_step(
    settings: DepthSettings,
    state: TrainState,
    batch: tuple[Frames, Frames],
    rooms: Params,
) -> tuple[TrainState, Metrics]:
    """Take one step, a pure function; `rooms` is FastDepth, which stays."""
    (rendered, true_depth), (real, published_depth) = batch
    frames = jnp.concatenate([rendered, real])

    def objective(params: Params) -> tuple[Float[Array, ""], Metrics]:
        logs = log_depth(settings.model, {**params, "rooms": rooms}, frames)
        truth = loss(logs[: len(rendered)], true_depth)
        anchor = anchor_loss(logs[len(rendered) :], published_depth)
        value = truth + settings.anchor * anchor
        return value, {"loss": value, "truth": truth, "anchor": anchor}

    return descend(settings, state, objective)


def anchor_loss(
    predicted: Float[Array, "b h w"], published_depth: Float[Array, "b h w"]
) -> Float[Array, ""]:
    """Return the module's loss of log depths of real pictures."""
    cells = partial(
        reduce, pattern="b (h i) (w j) -> b h w", reduction="mean", i=CELL, j=CELL
    )
    error = cells(predicted - jnp.log(published_depth))
    error = error - jnp.median(error, (1, 2), keepdims=True)
    return jnp.abs(error).mean() + depth_roughness(error, (1, 2))


def loss(
    predicted: Float[Array, "b h w"], depth: Float[Array, "b h w"]
) -> Float[Array, ""]:
    """Return the module's loss of log depths, given true depths."""
    logs = predicted - sparse_median(predicted)
    truth = jnp.clip(depth, NEAREST, FARTHEST)
    error = logs - jnp.log(truth)
    # Linear beyond a factor e.
    relative = jnp.abs(jnp.expm1(jnp.minimum(error, 1.0)))
    scaled = 0.5 * (jnp.abs(error) + relative).mean() + depth_roughness(error)
    disparity = jnp.exp(-jnp.clip(logs, jnp.log(NEAREST), jnp.log(FARTHEST)))
    shape = standardised(disparity) - standardised(1 / truth)
    return scaled + SHAPE * (jnp.abs(shape).mean() + depth_roughness(shape))


def sparse_median(x: Float[Array, "b h w"]) -> Float[Array, "b 1 1"]:
    """Return the median of a sixteenth of the pixels, which is nearly that of all."""
    return jnp.median(x[:, ::4, ::4], (1, 2), keepdims=True)


def standardised(disparity: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """Subtract the median and divide by the mean absolute deviation from it."""
    centred = disparity - sparse_median(disparity)
    return centred / (jnp.abs(centred).mean((1, 2), keepdims=True) + FLATTEST)


def depth_roughness(
    error: Float[Array, "b h w"], distances: tuple[int, ...] = (1, 2, 4)
) -> Float[Array, ""]:
    """Return the mean absolute difference of neighbours at these distances, in pixels."""
    total = jnp.zeros(())
    for k in distances:
        down = error[:, k:] - error[:, :-k]
        right = error[:, :, k:] - error[:, :, :-k]
        total += (jnp.abs(down).mean() + jnp.abs(right).mean()) / (2 * len(distances))
    return total


def held_out_errors(settings: DepthSettings, params: Params) -> dict[str, float]:
    """Return the mean `depth_errors` of frames of held-out scenes, of the first size."""
    network = DepthNetwork(settings.model, params)
    size = settings.sizes[0]

    def one(index: Integer[Array, ""]) -> Metrics:
        frames, depth = procedural_frames(index[None], size, settings.worlds)
        return depth_errors(predict_depth(network, frames * 2 - 1), depth)

    errors = jax.jit(partial(jax.lax.map, one))(
        HELD_OUT_START + jnp.arange(settings.held_out)
    )
    return {name: round(float(values.mean()), 4) for name, values in errors.items()}


def procedural_frames(
    indices: Integer[Array, "b"],
    size: Size,
    worlds: Worlds,
    appearance: Appearance = NO_PHOTOS,
) -> Frames:
    """Render one frame in [0, 1] and its depth per scene; antialiased if seen at fewer pixels."""
    rendered, height, width = size
    columns = round(width * rendered / height)

    def one(
        index: Integer[Array, ""],
    ) -> tuple[Float[Array, "h w 3"], Float[Array, "h w"]]:
        if worlds == "wide":
            frame, depth = wide_frame(
                index, appearance=appearance, height=rendered, width=columns
            )
        else:
            clip = scene_with_appearance(
                index,
                appearance,
                views=1,
                frames=1,
                height=rendered,
                width=columns,
                worlds="rich",
            )
            frame = clip.frames[0, 0]
            depth = clip.depth[0, 0]
        frame = jax.image.resize(frame, (height, width, 3), "linear")
        return frame, jax.image.resize(depth, (height, width), "nearest")

    # On CPU, the rays of one frame fit the cache.
    return jax.lax.map(one, indices)


if __name__ == "__main__":
    tyro.cli(main)
