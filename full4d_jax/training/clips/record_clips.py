"""One record to one clip: the choice of views and instants, and the decoding into a batch.

Of a record with encoded projections a clip is a draw of them, and targets for its source.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from full4d_jax.config import Config
from full4d_jax.generation import batch
from full4d_jax.models.wan.text import TEXT_TOKENS, padded
from full4d_jax.training.clips.projected_batch import ProjectedBatch
from input_pipeline import pinhole, schema, transforms
from input_pipeline.datasets.dataset import Records
from input_pipeline.plain_files import named
from input_pipeline.selection import choose_times, choose_views, nearest_bucket, select


class Sized(NamedTuple):
    """A record, and the size in pixels that its clip is cropped to."""

    example: schema.Example
    height: int
    width: int


class SizedRecords(Sequence[Sized]):
    """The clips of a dataset that are cropped to one size, by their numbers in it."""

    def __init__(self, records: Records, numbers: Sequence[int], size: tuple[int, int]):
        self.records = records
        self.numbers = numbers
        self.size = size

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        """Return one clip."""
        return Sized(self.records[self.numbers[index]], *self.size)


def clip_size(config: Config, clip: dict[str, Any]) -> tuple[int, int]:
    """Return the height and width that a clip with these facts (`card.facts`) is cropped to."""
    data = config.data
    if not data.buckets:
        return data.height, data.width
    sizes: list[Any] = [tuple(map(int, size.split("x"))) for size in data.buckets]
    return sizes[nearest_bucket(clip["height"], clip["width"], sizes)]


def choose(config: Config, sized: Sized, rng: np.random.Generator) -> Sized:
    """Choose views and instants of a record, the source first.

    With projection, the source is any view whose depth is known at all instants. Without, views are
    neighbours in the record's own order.

    Raises:
      ValueError: no view has depth inside the crop at the first instant; the message names the
        scene.
    """
    data = config.data
    example = sized.example
    views, frames = example.frames.shape
    # Windows were chosen when they were encoded.
    strides = data.strides
    if example.codec and (
        example.latents.shape[1] < frames or example.projections.size
    ):
        strides = (1,)
    times = choose_times(rng, frames, data.frames, strides=strides)
    if not config.model.needs_cameras:
        chosen = choose_times(rng, views, data.views)
        return sized._replace(example=select(example, chosen, times))
    candidates = [view for view in range(views) if all(example.depth16[view, times])]
    for source in rng.permutation(candidates):
        depth = transforms.decode_depth(example.depth16.item(source, times[0]))
        # Depth may be known only at the rim, which is cropped away.
        lens = example.intrinsics[source]
        cropped, _ = transforms.cover(depth, lens, sized.height, sized.width)
        if cropped.any():
            break
    else:
        crop = f"the middle {sized.height}x{sized.width} pixels"
        found = f"found no depth at instant {times[0]} in {crop}"
        text = f"scene {example.scene_id}: {found}, expected that of some view"
        raise ValueError(text)
    places = pinhole.centers(example.world_to_camera[:, times[0]])
    spread = data.targets == "spread"
    chosen = choose_views(rng, places, data.views, source=source, spread=spread)
    return sized._replace(example=select(example, chosen, times))


def allocate(config: Config, sized: Sized, clips: int) -> batch.Batch:
    """Allocate host memory for clips like this one; with latents, only the source has frames."""
    data = config.data
    latents = sized.example.latents
    views = 1 if latents.size else data.views
    size = data.frames, sized.height, sized.width
    text_shape = clips, TEXT_TOKENS, config.model.text_width
    return batch.Batch(
        frames=np.empty((clips, views, *size, 3), np.uint8),
        depth=np.zeros((clips, *size), np.float32),
        intrinsics=np.empty((clips, data.views, 3, 3), np.float32),
        world_to_camera=np.empty((clips, data.views, data.frames, 4, 4), np.float32),
        latents=np.empty((clips, *latents.shape), np.float16) if latents.size else None,
        text=np.empty(text_shape, np.float16) if data.captions else None,
    )


def load(config: Config, sized: Sized, clips: batch.Batch, place: int) -> None:
    """Decode a chosen record into its place, with poses relative to the source.

    With projection, lengths are in the source's unit.

    Raises:
      ValueError: a file is damaged; the message names it and the scene.
    """
    example = sized.example
    intrinsics = transforms.decode_into(example, clips.frames[place])
    # Right for latents, which are encoded at this size.
    clips.intrinsics[place] = example.intrinsics
    clips.intrinsics[place, : len(intrinsics)] = intrinsics
    if clips.latents is not None:
        clips.latents[place] = example.latents
    if clips.text is not None:
        clips.text[place] = padded(example.text)
    poses = example.world_to_camera
    depth = clips.depth[place]
    if not config.model.needs_cameras:
        clips.world_to_camera[place] = pinhole.relative_to(poses, poses[0, 0])
        return
    transforms.decode_depths(example._replace(depth16=example.depth16[:1]), depth[None])
    # The lens shows other pixels than `choose` looked at.
    with named(f"scene {example.scene_id}: "):
        in_source = transforms.to_source(depth, poses)
    clips.depth[place], clips.world_to_camera[place] = in_source


def choose_projected(
    config: Config, sized: Sized, rng: np.random.Generator
) -> ProjectedBatch:
    """Return a clip in the host's memory, without batch axis.

    Raises:
      ValueError: the file of the projection is damaged; the message names the scene.
    """
    example = sized.example
    strides = config.model.strides
    file = example.projections[rng.integers(len(example.projections))]
    with named(f"scene {example.scene_id}: "):
        drawn = schema.projection_from_bytes(file)
    data = config.data
    places = pinhole.centers(drawn.world_to_camera[:, 0])
    spread = data.targets == "spread"
    views = choose_views(rng, places, data.views, source=drawn.source, spread=spread)
    filled = drawn.filled if config.model.reads_filled else None
    to_unit = np.array([1 / sized.width, 1 / sized.height, 1], np.float32)[:, None]
    return ProjectedBatch(
        latents=example.latents[views],
        projection=drawn.projection[views],
        filled=None if filled is None else filled[views],
        mask=drawn.mask[views],
        disparity=drawn.disparity[views],
        nothing=drawn.nothing,
        world_to_camera=drawn.world_to_camera[views, :: strides.frames],
        intrinsics=example.intrinsics[views] * to_unit,
        text=padded(example.text) if data.captions else None,
    )
