"""What of a record a step sees, and its way into the arrays of a batch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float16, Float32, UInt8

from full4d_jax.config import Config
from input_pipeline.cameras import centers, relative_to
from input_pipeline.datasets.dataset import Records
from input_pipeline.schema import Example
from input_pipeline.selection import choose_times, choose_views, nearest_bucket, select
from input_pipeline.transforms import cover, decode_depth, decode_depths, decode_frames, to_source


class HostClip(NamedTuple):
    """A clip, or a batch of them, in the host's memory (see `Batch`)."""

    frames: UInt8[np.ndarray, "v t h w 3"]
    depth: Float32[np.ndarray, "t h w"]
    intrinsics: Float32[np.ndarray, "v 3 3"]
    world_to_camera: Float32[np.ndarray, "v t 4 4"]
    latents: Float16[np.ndarray, "v f i j c"] | None = None


class Sized(NamedTuple):
    """A record, and the size in pixels that its clip is cut to."""

    example: Example
    height: int
    width: int


class SizedRecords(Sequence[Sized]):
    """Those clips of a dataset that are cut to one size, by their numbers in it."""

    def __init__(self, records: Records, numbers: Sequence[int], size: tuple[int, int]):
        self.records, self.numbers, self.size = records, numbers, size

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Any:
        """One clip."""
        return Sized(self.records[self.numbers[index]], *self.size)


def clip_size(config: Config, clip: dict[str, Any]) -> tuple[int, int]:
    """Height and width that a clip with these facts (`card.facts`) is cut to."""
    data = config.data
    if not data.buckets:
        return data.height, data.width
    sizes = []
    for size in data.buckets:
        height, width = map(int, size.split("x"))
        sizes.append((height, width))
    return sizes[nearest_bucket(clip["height"], clip["width"], sizes)]


def choose(sized: Sized, generator: np.random.Generator, config: Config) -> Sized:
    """Some views and instants of a record, the source first.

    With projection the source is any view whose depth is known at all of the instants. Without,
    views are neighbours in the record's own order.

    Raises:
      ValueError: naming the scene, if at the first instant no view has depth in what is cut out.
    """
    data, example = config.data, sized.example
    views, frames = example.frames.shape
    joined = example.codec and example.latents.shape[1] < frames  # windows, cut when encoded
    strides = (1,) if joined else data.strides
    times = choose_times(generator, frames, data.frames, strides=strides)
    if config.model.projection == "none":
        chosen = choose_times(generator, views, data.views)
        return sized._replace(example=select(example, chosen, times))
    candidates = [view for view in range(views) if all(example.depth16[view, times])]
    for source in generator.permutation(candidates):
        depth = decode_depth(example.depth16.item(source, times[0]))
        # Depth may be known at the rim only, which is cut away.
        if cover(depth, example.intrinsics[source], sized.height, sized.width)[0].any():
            break
    else:
        found = f"no depth at instant {times[0]} in the middle {sized.height}x{sized.width} pixels"
        raise ValueError(f"scene {example.scene_id}: found {found}, expected that of some view")
    chosen = choose_views(
        generator,
        centers(example.world_to_camera[:, times[0]]),
        data.views,
        sources=[source],
        spread=data.targets == "spread",
    )
    return sized._replace(example=select(example, chosen, times))


def allocate(sized: Sized, clips: int, config: Config) -> HostClip:
    """Memory for so many clips like this one; of those with latents, only the source's frames."""
    data, latents = config.data, sized.example.latents
    views = 1 if latents.size else data.views
    size = data.frames, sized.height, sized.width
    return HostClip(
        frames=np.empty((clips, views, *size, 3), np.uint8),
        depth=np.zeros((clips, *size), np.float32),
        intrinsics=np.empty((clips, data.views, 3, 3), np.float32),
        world_to_camera=np.empty((clips, data.views, data.frames, 4, 4), np.float32),
        latents=np.empty((clips, *latents.shape), np.float16) if latents.size else None,
    )


def load(sized: Sized, clips: HostClip, place: int, config: Config) -> None:
    """Decode what was chosen of a record, in the frame and, with projection, unit of its source.

    Raises:
      ValueError: naming the scene and file, if one is damaged.
    """
    example = sized.example
    intrinsics = decode_frames(example, clips.frames[place])
    clips.intrinsics[place] = example.intrinsics  # latents are of pictures of the right size
    clips.intrinsics[place, : len(intrinsics)] = intrinsics
    if clips.latents is not None:
        clips.latents[place] = example.latents
    poses, depth = example.world_to_camera, clips.depth[place]
    if config.model.projection == "none":
        clips.world_to_camera[place] = relative_to(poses, poses[0, 0])
        return
    decode_depths(example._replace(depth16=example.depth16[:1]), depth[None])
    try:
        clips.depth[place], clips.world_to_camera[place] = to_source(depth, poses)
    except ValueError as error:  # a lens that shows other pixels than `choose` looked at
        raise ValueError(f"scene {example.scene_id}: {error}") from None
