"""The batches of a training run: rendered scenes, videos warped or reprojected, or records."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, UInt8

from full4d_jax.config import Config, DataConfig
from full4d_jax.generation.batch import Batch, procedural_batch
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.geometry.depth_edges import EDGE_BEND, drop_depth_edges
from full4d_jax.media.video import read_video
from full4d_jax.models.sharding import put_batch, rows_here, spec
from full4d_jax.session.errors import input_errors
from full4d_jax.session.fields import require
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth
from full4d_jax.training.clips.double_reprojection import (
    random_lens,
    random_pose,
    several_views,
    two_views,
)
from full4d_jax.training.clips.grid_motion import batches_with_motion
from full4d_jax.training.clips.pseudo_grid import MARGIN, pseudo_grid
from full4d_jax.training.clips.records import record_batches, record_names_at
from input_pipeline.footage import training_clips
from input_pipeline.loader import make_loader
from input_pipeline.video_files import open_video

STREAM = 2**31 - 1  # random stream of the warps; training steps use the lower numbers


def training_batches(
    config: Config, start: int, mesh: Mesh | None = None
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return the batches from step `start` on: records, or scenes and videos, in random order.

    Of models without projection, a share `config.data.pseudo` of each batch is planar warps of the
    videos in `config.data.videos`, or of rendered videos; the others are records or rendered. Of
    models with one, that share of the batches is double reprojections of the videos, of
    `data.pseudo_views` views; the other batches are records or rendered.

    On a mesh, samples are sharded over its devices; all processes together see the batches that
    one would. Each device renders its own scenes, each process reads the records and videos of its
    devices. With warps, or rendered scenes for a model that moves its base, every process makes
    whole batches and keeps its part.

    Raises:
      InputError: there are no videos, or records cannot be used (`records.open_records`).
    """
    data = config.data
    if not data.records:
        for name, off in (("projections", 0), ("captions", False)):
            value = getattr(data, name)
            expected = f"{off} without --data.records that have them"
            require(f"data.{name}", value, value == off, expected)
    if data.pseudo and not config.model.needs_cameras:
        mixed = batches_with_motion(config.model, _with_warps(config, start))
        return mixed if mesh is None else map(partial(put_batch, mesh), mixed)
    return _with_filmed(config, start, mesh) if data.pseudo else _unfilmed(config, start, mesh)


def _unfilmed(
    config: Config, start: int, mesh: Mesh | None
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return the batches that are made of no ordinary videos: records, or rendered."""
    if config.data.records:
        return record_batches(config, start, mesh)
    if not config.model.moves_base:
        return _rendered(config, start, mesh)
    moving = batches_with_motion(config.model, _rendered(config, start, None))
    return moving if mesh is None else map(partial(put_batch, mesh), moving)


def clips_at(config: Config, position: int) -> list[str | int]:
    """Return the clips in the batch at a position in the data: names, or procedural scenes."""
    data = config.data
    batch = config.training.batch
    if data.pseudo and config.model.needs_cameras:
        filmed = _filmed_before(data, position)
        if _filmed_before(data, position + 1) > filmed:
            return _films(config, filmed, batch)
        if data.records:
            return [*record_names_at(config, position - filmed)]
        return [int(i) for i in next(_scenes(config, position - filmed))]
    grids, warped = _grids_and_warps(config)
    names: list[str | int] = []
    if grids.training.batch and data.records:
        names += record_names_at(grids, position)
    elif grids.training.batch:
        names += [int(i) for i in next(_scenes(grids, position))]
    if warped and data.videos:
        names += _films(config, position, warped)
    return names


def _films(config: Config, position: int, count: int) -> list[str | int]:
    """Return the names of the videos in a batch of `video_windows`."""
    clips = [str(clip) for clip in filmed_clips(config.data)]
    loader = make_loader(clips, seed=config.seed, batch_size=count, start_step=position)
    return next(loader).tolist()


def _filmed_before(data: DataConfig, step: int) -> int:
    """Return how many of the batches before a step are reprojected videos."""
    return math.floor(step * data.pseudo + 1e-9)


def _with_warps(config: Config, start: int) -> Iterator[Batch]:
    """Return batches of which a share is planar warps, shuffled with records or rendered grids."""
    data = config.data
    seed = config.seed
    still = replace(config, model=replace(config.model, moves_base=False))  # whole batches move
    grids, warped = _grids_and_warps(still)
    row = replace(data, views=1, height=round(MARGIN * data.height), records=())
    row = replace(row, width=round(MARGIN * data.width))
    if data.videos:
        videos = map(_as_floats, video_windows(row, seed=seed, start=start, clips=warped))
    else:  # other scenes than the grids'
        training = replace(config.training, batch=warped)
        alone = replace(config, data=row, training=training, seed=seed ^ STREAM)
        videos = (batch.frames[:, 0] for batch in _rendered(alone, start, None))
    whole_grids: Any = itertools.repeat(None)
    if grids.training.batch:
        whole_grids = (
            record_batches(grids, start) if data.records else _rendered(grids, start, None)
        )
    key = jax.random.fold_in(jax.random.key(seed), STREAM)

    def mix(step: int, videos: Float[Array, "p t H W 3"], clips: Batch | None) -> Batch:
        return _mixed(data, jax.random.fold_in(key, step), videos, clips)

    return map(mix, itertools.count(start), videos, whole_grids)


def _grids_and_warps(config: Config) -> tuple[Config, int]:
    """Return the config of the clips of a batch that are no planar warps, and how many are."""
    batch = config.training.batch
    warped = 0 if config.model.needs_cameras else round(config.data.pseudo * batch)
    return replace(config, training=replace(config.training, batch=batch - warped)), warped


def _with_filmed(
    config: Config, start: int, mesh: Mesh | None
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return batches of records or rendered and, evenly among them, a share of reprojected ones."""
    data = config.data
    size = config.training.batch
    first = _filmed_before(data, start)
    rows = range(size) if mesh is None else rows_here(mesh, size)
    windows = video_windows(
        _with_margin(data), seed=config.seed, start=first, clips=size, rows=rows
    )
    unfilmed = _unfilmed(config, start - first, mesh)  # refuses what it cannot use before training
    network = load_depth()
    key = jax.random.fold_in(jax.random.key(config.seed), STREAM)

    def filmed(number: int) -> Batch:
        keys = jax.random.split(jax.random.fold_in(key, number), size)[np.asarray(rows)]
        clip_size = (data.pseudo_views, data.height, data.width)
        clips = reprojected(clip_size, network, keys, next(windows))
        return clips if mesh is None else put_batch(mesh, clips, rows, size)

    def mix() -> Iterator[Any]:
        for step in itertools.count(start):
            number = _filmed_before(data, step)
            is_filmed = _filmed_before(data, step + 1) > number
            yield filmed(number) if is_filmed else next(unfilmed)

    return mix()


def _with_margin(data: DataConfig) -> DataConfig:
    """Return the size in which videos are read for reprojection: with a margin for more views."""
    if data.pseudo_views == 2:
        return data
    return replace(data, height=round(MARGIN * data.height), width=round(MARGIN * data.width))


@partial(jax.jit, static_argnums=0)
def reprojected(
    size: tuple[int, int, int],
    network: DepthNetwork,
    keys: Key[Array, "b"],
    videos: UInt8[Array, "b t h w 3"],
) -> Batch:
    """Return clips of what another camera would see of each video, the video, and turned views.

    Args:
      size: views, rows and columns of the clips.
      network: gives the depth of the videos.
      keys: of each clip.
      videos: larger than the clips (`_with_margin`) if these have more than two views.
    """
    views, height, width = size

    def one(key_and_video: tuple[PRNGKeyArray, Array]) -> Batch:
        key, video = key_and_video
        lens_key, pose_key = jax.random.split(key)
        video = _as_floats(video)
        depth = drop_depth_edges(estimate_depth(network, video), EDGE_BEND)
        lens = random_lens(lens_key, *video.shape[1:3])
        pose = random_pose(pose_key)
        if views == 2:
            clip, _ = two_views(video, depth, lens, pose)
            return clip
        return several_views(
            jax.random.fold_in(key, 2),
            video,
            depth,
            lens,
            pose,
            views=views,
            height=height,
            width=width,
        )

    return jax.lax.map(one, (keys, videos))


def _rendered(config: Config, start: int, mesh: Mesh | None) -> Iterator[Batch]:
    """Yield batches of rendered scenes."""
    data = config.data
    network = load_depth() if data.estimated else None
    # What else the data are made of changes nothing in the program, which takes seconds to compile.
    program = _rendering(replace(data, records=(), videos="", pseudo=0.0, pseudo_views=2), mesh)
    for scenes in _scenes(config, start):
        yield program(scenes if mesh is None else put_batch(mesh, scenes), network)


@cache
def _rendering(data: DataConfig, mesh: Mesh | None) -> Callable[..., Batch]:
    """Return the program that renders a batch; on a mesh each device renders its own samples."""
    render = partial(_render, data)
    if mesh is None:
        return jax.jit(render)
    samples = spec("samples")
    everywhere = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            render,
            mesh=mesh,
            in_specs=(samples, everywhere),
            out_specs=samples,
            check_vma=False,
        )
    )


def _render(data: DataConfig, indices: Int[Array, "b"], network: DepthNetwork | None) -> Batch:
    """Render scenes; a share `data.estimated` has its depth from the network."""
    batch = procedural_batch(indices, data)
    if network is None:
        return batch

    def one(clip: tuple[Array, ...]) -> Float[Array, "t h w"]:
        index, frames, depth = clip
        chance = jax.random.uniform(jax.random.fold_in(jax.random.key(STREAM), index))

        def estimate() -> Float[Array, "t h w"]:
            return drop_depth_edges(estimate_depth(network, frames), EDGE_BEND)

        return jax.lax.cond(chance < data.estimated, estimate, lambda: depth)

    return batch._replace(depth=jax.lax.map(one, (indices, batch.frames[:, 0], batch.depth)))


def _scenes(config: Config, start: int) -> Iterator[Int[np.ndarray, "b"]]:
    """Return the indices of the scenes of each batch."""
    scenes = range(config.data.scenes)
    batch = config.training.batch
    return make_loader(scenes, seed=config.seed, batch_size=batch, start_step=start)


@partial(jax.jit, static_argnums=0)
def _mixed(
    data: DataConfig, key: PRNGKeyArray, videos: Float[Array, "p t H W 3"], clips: Batch | None
) -> Batch:
    """Return planar warps of the videos and the other clips of the batch, shuffled."""
    warp_key, order_key = jax.random.split(key)
    keys = jax.random.split(warp_key, len(videos))
    warp = partial(pseudo_grid, views=data.views, height=data.height, width=data.width)
    warps = _without_cameras(jax.vmap(warp)(keys, videos))
    if clips is None:
        return warps
    order = jax.random.permutation(order_key, len(videos) + len(clips.frames))
    return jax.tree.map(lambda *x: jnp.concatenate(x)[order], clips, warps)


def _without_cameras(frames: Float[Array, "b v t h w 3"]) -> Batch:
    """Return a batch of these pictures, with unknown depth (0) and identity cameras."""
    clips, views, instants, height, width, _ = frames.shape
    eye = jnp.eye(4)[None, None, None]
    return Batch(
        frames=frames,
        depth=jnp.zeros((clips, instants, height, width)),
        intrinsics=jnp.broadcast_to(eye[0, ..., :3, :3], (clips, views, 3, 3)),
        world_to_camera=jnp.broadcast_to(eye, (clips, views, instants, 4, 4)),
    )


@jax.jit
def _as_floats(videos: UInt8[Array, "*p t h w 3"]) -> Float[Array, "*p t h w 3"]:
    return videos.astype(jnp.float32) / 127.5 - 1


def video_windows(
    data: DataConfig,
    *,
    seed: int,
    start: int,
    clips: int,
    rows: Sequence[int] | None = None,
) -> Iterator[UInt8[np.ndarray, "b t h w 3"]]:
    """Return batches of `clips` windows, of the size of `data`, from batch `start` on.

    With `rows`, those places of each batch alone.

    Raises:
      InputError: there are no videos, or one cannot be used.
    """
    files = filmed_clips(data)
    for clip in files:
        read_video(clip, height=16, width=16, frames=data.frames)
    read = partial(_random_window, data=data)
    return make_loader(
        files, seed=seed, start_step=start, batch_size=clips, transform=read, rows=rows
    )


def filmed_clips(data: DataConfig) -> list[Path]:
    """Return the videos to train on, all but those that evaluation keeps.

    Raises:
      InputError: there are none.
    """
    with input_errors("data.videos", "give another folder"):
        return training_clips(data.videos)


def _random_window(
    path: Path, generator: np.random.Generator, data: DataConfig
) -> UInt8[np.ndarray, "t h w 3"]:
    """Read frames of a video from a random moment on."""
    with open_video(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:  # some containers know only their own, sound included
            duration = (container.duration or 0) / av.time_base
        step = max(1 / data.fps, 1 / float(stream.average_rate or data.fps))
    last = max(0.0, duration - data.frames * step)
    window = read_video(
        path,
        height=data.height,
        width=data.width,
        frames=data.frames,
        start=last * generator.random(),
        usual=data.fps,
    )
    return window.frames
