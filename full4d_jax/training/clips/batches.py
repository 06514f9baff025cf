"""The batches of a training run, each from one source, mixed by a share.

A source gives batch `number` of its own as a pure function of the seed and that number, and the mix
says which source, and which number, a step takes. So a run resumes at any step to the bit.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import av
import grain
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, Shaped, UInt8

from full4d_jax.config import Config, DataConfig, TrainingConfig
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.procedural import procedural_batch
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.media.pictures import to_model
from full4d_jax.media.video_io import read_video
from full4d_jax.models.dit.sharding import put_batch, rows_here, spec
from full4d_jax.session import errors, fields
from full4d_jax.source.depth.our_network import DepthNetwork, estimate_depth, load_depth
from full4d_jax.training.clips import mixing, pseudo_views
from input_pipeline import loader, media_files, video_files

# Random stream of warps; training steps use the lower numbers.
VIDEO_STREAM = 2**31 - 1
Scenes = Int[np.ndarray, "b"]


class Source(NamedTuple):
    """A source of batches.

    Attributes:
      share: of the batches of a run.
      batches: gives its batches from a number on.
      names: gives names of the clips in one of them, or indices of procedural scenes.
    """

    share: float
    batches: Callable[[int], Iterator[Any]]
    names: Callable[[int], Sequence[str | int]]


def training_batches(
    config: Config, start: int, mesh: Mesh | None = None
) -> Iterator[Any]:
    """Return the batches from step `start` on, as `Batch` or `ProjectedBatch`.

    On a mesh, samples are sharded over its devices; all processes together see the batches that
    one would. Each device renders its own scenes, each process reads the records and videos of its
    devices. Of scenes rendered for a model that moves its base, every process makes whole batches
    and keeps its part.

    Raises:
      InputError: there are no videos, or records cannot be used (`records.open_records`).
    """
    sources = open_sources(config, mesh)
    turns = mixed_turns(sources)

    def mixed() -> Iterator[Any]:
        streams: dict[str, Iterator[Any]] = {}
        for step in itertools.count(start):
            name, number = turns[step]
            if name not in streams:
                streams[name] = sources[name].batches(number)
            yield next(streams[name])

    return mixed()


def clips_at(config: Config, position: int) -> Sequence[str | int]:
    """Return the clips in the batch at a position in the data: names, or procedural scenes."""
    sources = open_sources(config)
    name, number = mixed_turns(sources)[position]
    return sources[name].names(number)


def mixed_turns(sources: dict[str, Source]) -> Any:
    """Return by step its source, and how many batches of that the steps before took."""
    numbers = grain.MapDataset.range(loader.ENDLESS)
    turns: list[Any] = [numbers.map(lambda n, name=name: (name, n)) for name in sources]
    return grain.MapDataset.mix(turns, [source.share for source in sources.values()])


def open_sources(config: Config, mesh: Mesh | None = None) -> dict[str, Source]:
    """Return the sources of a run by name, opened: records or rendered scenes, and videos.

    A share `data.pseudo` is videos: double reprojections of `data.pseudo_views` views for models
    with a projection, else planar warps.

    Raises:
      InputError: as `training_batches`.
    """
    data = config.data
    sources = {}
    if not data.records:
        for name, off in (("projections", 0), ("captions", False)):
            value = getattr(data, name)
            expected = f"{off} without --data.records that have them"
            fields.require(f"data.{name}", value, value == off, expected)
    if data.pseudo < 1 and data.records:
        mixture = mixing.open_records(config)
        sources["records"] = Source(
            1 - data.pseudo,
            lambda start: mixing.batches_of(config, mixture, start, mesh),
            partial(mixing.record_names_at, config),
        )
    elif data.pseudo < 1:
        scenes = partial(mixing.draws, config, range(data.scenes))
        sources["rendered"] = Source(
            1 - data.pseudo,
            lambda start: rendered_batches(config, scenes(start), mesh),
            lambda number: next(scenes(number)).tolist(),
        )
    if data.pseudo:
        files = open_videos(data) if data.videos else []
        if config.model.needs_cameras:
            clip_size = (data.pseudo_views, data.height, data.width)
            make = partial(reprojected, clip_size, load_depth())
        else:
            make = partial(warps, (data.views, data.height, data.width))
        # Rendered videos have no names.
        names = [str(file) for file in files]
        sources["videos"] = Source(
            data.pseudo,
            lambda start: video_batches(config, files, make, start, mesh),
            lambda number: (
                next(mixing.draws(config, names, number)).tolist() if names else []
            ),
        )
    return sources


def rendered_batches(
    config: Config, draws: Iterator[Scenes], mesh: Mesh | None
) -> Iterator[Batch]:
    """Return batches of the rendered scenes with these indices."""
    if not config.model.parametrisation.moves_base:
        return _rendered(config, draws, mesh)
    moving = mixing.batches_with_motion(config.model, _rendered(config, draws, None))
    return map(partial(put_batch, mesh), moving)


def video_batches(
    config: Config,
    files: list[Path],
    make: Callable[..., Batch],
    start: int,
    mesh: Mesh | None,
) -> Iterator[Batch]:
    """Return batches of clips that `make` makes of single videos, from batch `start` on.

    Args:
      config: the experiment.
      files: the videos; without any, those of other rendered scenes are taken.
      make: (keys, one for each clip; videos, with a margin where it needs one) -> clips.
      start: number of batches to skip.
      mesh: as in `training_batches`.
    """
    size = config.training.batch
    rows = np.asarray(rows_here(mesh, size))
    data = replace(config.data, records=(), views=1)
    if data.pseudo_views > 2 or not config.model.needs_cameras:
        height, width = (
            round(pseudo_views.VIDEO_PER_CROP * side)
            for side in (data.height, data.width)
        )
        data = replace(data, height=height, width=width)
    if files:
        read = partial(_random_window, data=data)
        videos = mixing.draws(config, files, start, transform=read, rows=rows.tolist())
    else:
        others = replace(config, data=data, seed=config.seed ^ VIDEO_STREAM)
        draws = mixing.draws(others, range(data.scenes), start)
        videos = (batch.frames[rows, 0] for batch in _rendered(others, draws, None))
    stream_key = jax.random.fold_in(jax.random.key(config.seed), VIDEO_STREAM)

    def clips() -> Iterator[Batch]:
        for number, video in enumerate(videos, start):
            keys = jax.random.split(jax.random.fold_in(stream_key, number), size)[rows]
            yield make(keys, video)

    moving = mixing.batches_with_motion(config.model, clips())
    return (put_batch(mesh, batch, rows.tolist(), size) for batch in moving)


@partial(jax.jit, static_argnums=0)
def warps(
    size: tuple[int, int, int],
    keys: Key[Array, "b"],
    videos: Shaped[Array, "b t H W 3"],
) -> Batch:
    """Return a grid of planar warps of each video, with unknown depth and identity cameras.

    Args:
      size: views, rows and columns of the grids.
      keys: of each clip.
      videos: bytes, or in [-1, 1], with a margin.
    """

    def warp(key: PRNGKeyArray, video: Array) -> Array:
        return pseudo_views.pseudo_grid(key, video, *size)

    frames = jax.vmap(warp)(keys, _as_floats(videos))
    clips, views, instants, height, width, _ = frames.shape
    eye = jnp.eye(4)[None, None, None]
    return Batch(
        frames=frames,
        depth=jnp.zeros((clips, instants, height, width)),
        intrinsics=jnp.broadcast_to(eye[0, ..., :3, :3], (clips, views, 3, 3)),
        world_to_camera=jnp.broadcast_to(eye, (clips, views, instants, 4, 4)),
    )


@partial(jax.jit, static_argnums=0)
def reprojected(
    size: tuple[int, int, int],
    network: DepthNetwork,
    keys: Key[Array, "b"],
    videos: UInt8[Array, "b t h w 3"],
) -> Batch:
    """Return clips of each video: reprojected into another camera, itself, and turned views.

    Args:
      size: views, rows and columns of the clips.
      network: gives the depth of the videos.
      keys: of each clip.
      videos: with a margin if the clips have more than two views.
    """
    views = size[0]

    def one(key_and_video: tuple[PRNGKeyArray, Array]) -> Batch:
        key, video = key_and_video
        lens_key, pose_key = jax.random.split(key)
        video = _as_floats(video)
        depth = drop_depth_edges(estimate_depth(network, video))
        lens = pseudo_views.random_lens(lens_key, *video.shape[1:3])
        pose = pseudo_views.random_pose(pose_key)
        if views == 2:
            clip, _ = pseudo_views.two_views(video, depth, lens, pose)
            return clip
        turns = jax.random.fold_in(key, 2)
        return pseudo_views.several_views(turns, video, depth, lens, pose, size)

    return jax.lax.map(one, (keys, videos))


def _rendered(
    config: Config, draws: Iterator[Scenes], mesh: Mesh | None
) -> Iterator[Batch]:
    """Yield batches of rendered scenes."""
    data = config.data
    network = load_depth() if data.estimated else None
    # What else the data are made of changes nothing in the program, which takes seconds to compile.
    rendered = replace(data, records=(), videos="", pseudo=0.0, pseudo_views=2)
    program = _rendering(rendered, mesh, config.training)
    for scenes in draws:
        yield program(put_batch(mesh, scenes), network)


@cache
def _rendering(
    data: DataConfig, mesh: Mesh | None, training: TrainingConfig
) -> Callable[..., Batch]:
    """Return the program that renders a batch; on a mesh each device renders its own samples."""
    render = partial(_render, data)
    if mesh is not None:
        samples = spec("samples")
        inputs = samples, PartitionSpec()
        render = jax.shard_map(
            render, mesh=mesh, in_specs=inputs, out_specs=samples, check_vma=False
        )
    return jax.jit(render, compiler_options=training.compiler_options)


def _render(
    data: DataConfig, indices: Int[Array, "b"], network: DepthNetwork | None
) -> Batch:
    """Render scenes; a share `data.estimated` has its depth from the network."""
    batch = procedural_batch(indices, data)
    if network is None:
        return batch

    def one(clip: tuple[Array, ...]) -> Float[Array, "t h w"]:
        index, frames, depth = clip
        own_key = jax.random.fold_in(jax.random.key(VIDEO_STREAM), index)
        chance = jax.random.uniform(own_key)

        def estimate() -> Float[Array, "t h w"]:
            return drop_depth_edges(estimate_depth(network, frames))

        return jax.lax.cond(chance < data.estimated, estimate, lambda: depth)

    depth = jax.lax.map(one, (indices, batch.frames[:, 0], batch.depth))
    return batch._replace(depth=depth)


def _as_floats(videos: Shaped[Array, "*p t h w 3"]) -> Float[Array, "*p t h w 3"]:
    """Return videos in [-1, 1]; rendered ones are already."""
    return videos if videos.dtype == jnp.float32 else to_model(videos)


def open_videos(data: DataConfig) -> list[Path]:
    """Return the videos to train on, all but those that evaluation keeps, and look at each.

    Raises:
      InputError: there are none, or one cannot be used.
    """
    with errors.input_errors("data.videos", "give another folder"):
        files = media_files.training_clips(data.videos)
    for file in files:
        read_video(file, height=16, width=16, frames=data.frames)
    return files


def _random_window(
    path: Path, rng: np.random.Generator, data: DataConfig
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read frames of a video from a random moment on."""
    with video_files.open_video(path) as container:
        stream = video_files.video_stream(container, path)
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:
            # Some containers know only their own, sound included.
            duration = (container.duration or 0) / av.time_base
        step = max(1 / data.fps, 1 / float(stream.average_rate or data.fps))
    last = max(0.0, duration - data.frames * step)
    size = {"height": data.height, "width": data.width, "frames": data.frames}
    return read_video(path, **size, start=last * rng.random(), usual=data.fps).frames
