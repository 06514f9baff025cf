"""The batches of a training run: rendered scenes, videos warped or reprojected, or records."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config, DataConfig
from full4d_jax.generation.batch import Batch, procedural_batch
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.media.video import read_video
from full4d_jax.models.depth_net import EDGE, drop_depth_edges
from full4d_jax.models.sharding import put_batch, spec
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import require
from full4d_jax.source.depth.estimate import DepthNetwork, estimate_depth, load_depth
from full4d_jax.training.clips.double_reprojection import random_lens, random_pose, two_views
from full4d_jax.training.clips.pseudo_grid import MARGIN, pseudo_grid
from full4d_jax.training.clips.records import record_batches
from input_pipeline.footage import VIDEOS, training_clips
from input_pipeline.loader import make_loader
from input_pipeline.procedural.looks import Looks, looks_at

STREAM = 2**31 - 1  # random stream of the warps; training steps use the lower numbers


def training_batches(
    config: Config, start: int, mesh: Mesh | None = None
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return the batches from step `start` on: records, or scenes and videos, in random order.

    Of models without projection, a share `config.data.pseudo` of each batch is planar warps of the
    videos in `config.data.videos`, or of rendered videos. Of others, that share of the batches is
    double reprojections of the videos, which have two views.

    On a mesh, samples are sharded over its devices; all processes together see the batches that
    one would. Each device renders its own scenes. With warps, every process makes whole batches
    and keeps its part.

    Raises:
      InputError: there are no videos, or records cannot be used (`records.open_records`).
    """
    if config.data.records:
        return record_batches(config, start, mesh)
    for name, off in (("projections", 0), ("captions", False)):
        asked, expected = getattr(config.data, name), f"{off} without --data.records that have them"
        require(f"data.{name}", asked, asked == off, expected)
    data, batch, seed = config.data, config.training.batch, config.seed
    if config.model.projection != "none":
        return _with_filmed(config, start, mesh) if data.pseudo else _rendered(config, start, mesh)
    make = partial(make_loader, seed=seed, start_step=start)
    indices = make(range(data.scenes), batch_size=batch)
    warped = round(data.pseudo * batch)
    if not warped:
        return _rendered(config, start, mesh)
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    place = (lambda batch: batch) if mesh is None else partial(put_batch, mesh)
    if not data.videos:
        mix = jax.jit(lambda index: _mixed(key, index, warped, data, None))
        return map(place, map(mix, indices))
    size = {"height": _larger(data.height), "width": _larger(data.width)}
    read = partial(_random_window, data=data, **size)
    videos = make(find_videos(data.videos, data.frames), batch_size=warped, transform=read)
    mix = jax.jit(lambda index, clips: _mixed(key, index, warped, data, clips))
    return map(place, map(mix, indices, videos))


def _with_filmed(config: Config, start: int, mesh: Mesh | None) -> Iterator[Batch]:
    """Yield rendered batches and, evenly among them, a share of reprojected ones."""
    data, batch, seed = config.data, config.training.batch, config.seed

    def filmed_before(step: int) -> int:
        return math.floor(step * data.pseudo + 1e-9)

    with input_errors("data.videos", "give another folder"):
        clips = training_clips(data.videos)
    for clip in clips:
        read_video(clip, height=16, width=16, frames=data.frames)
    first = filmed_before(start)
    read = partial(_random_window, data=data, height=data.height, width=data.width)
    windows = make_loader(clips, seed=seed, start_step=first, batch_size=batch, transform=read)
    rendered, network = _rendered(config, start - first, mesh), load_depth()
    key = jax.random.fold_in(jax.random.key(seed), STREAM)
    for step in itertools.count(start):
        number = filmed_before(step)
        if filmed_before(step + 1) == number:
            yield next(rendered)
        else:
            made = reprojected(network, jax.random.fold_in(key, number), next(windows))
            yield made if mesh is None else put_batch(mesh, made)


@jax.jit
def reprojected(
    network: DepthNetwork, key: PRNGKeyArray, videos: UInt8[Array, "b t h w 3"]
) -> Batch:
    """Return clips of two views: what another camera would see of each video, and the video."""

    def one(key_and_video: tuple[PRNGKeyArray, Array]) -> Batch:
        key, video = key_and_video
        lens_key, pose_key = jax.random.split(key)
        video = video.astype(jnp.float32) / 127.5 - 1
        depth = drop_depth_edges(estimate_depth(network, video), EDGE)
        lens = random_lens(lens_key, *video.shape[1:3])
        return Batch(*two_views(video, depth, lens, random_pose(pose_key)))

    return jax.lax.map(one, (jax.random.split(key, len(videos)), videos))


def _rendered(config: Config, start: int, mesh: Mesh | None) -> Iterator[Batch]:
    """Yield batches of rendered scenes; on a mesh each device renders its own samples."""
    data, seed = config.data, config.seed
    indices = make_loader(
        range(data.scenes), seed=seed, batch_size=config.training.batch, start_step=start
    )
    network = load_depth() if data.estimated else None
    render = partial(_render, data)
    if mesh is not None:
        samples, everywhere = spec("samples"), PartitionSpec()
        render = jax.shard_map(
            render,
            mesh=mesh,
            in_specs=(samples, everywhere, everywhere),
            out_specs=samples,
            check_vma=False,
        )
    program = jax.jit(render)
    folders = {"photos": data.photos, "videos": data.videos if data.photos else ""}
    for step, scenes in enumerate(indices, start):
        with input_errors("config", "change data.photos or data.videos"):
            looks = looks_at(step, **folders, seed=seed)
        yield program(scenes if mesh is None else put_batch(mesh, scenes), looks, network)


def _render(
    data: DataConfig, indices: Int[Array, "b"], looks: Looks, network: DepthNetwork | None
) -> Batch:
    """Render scenes; a share `data.estimated` has its depth from the network."""
    batch = procedural_batch(indices, data, looks)
    if network is None:
        return batch

    def one(clip: tuple[Array, ...]) -> Float[Array, "t h w"]:
        index, frames, depth = clip
        chance = jax.random.uniform(jax.random.fold_in(jax.random.key(STREAM), index))

        def estimate() -> Float[Array, "t h w"]:
            return drop_depth_edges(estimate_depth(network, frames), EDGE)

        return jax.lax.cond(chance < data.estimated, estimate, lambda: depth)

    return batch._replace(depth=jax.lax.map(one, (indices, batch.frames[:, 0], batch.depth)))


def find_videos(folder: str, frames: int) -> list[Path]:
    """Return the videos in a folder and below; each has at least `frames` frames.

    Raises:
      InputError: there are none, or one cannot be used.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in VIDEOS)
    if not found:
        expected, do = f"files that end in {', '.join(sorted(VIDEOS))}", "change --data.videos"
        raise InputError("data.videos", folder, "no videos", expected, do)
    for path in found:
        read_video(path, height=16, width=16, frames=frames)
    return found


def _mixed(
    key,
    indices: Int[Array, "b"],
    warped: int,
    data: DataConfig,
    videos: UInt8[Array, "p t H W 3"] | None,
) -> Batch:
    """Return rendered grids and `warped` planar warps, shuffled."""
    rendered, rest = procedural_batch(indices[warped:], data), indices[:warped]
    if videos is None:
        row = replace(data, views=1, height=_larger(data.height), width=_larger(data.width))
        clips = procedural_batch(rest, row).frames[:, 0]
    else:
        clips = videos.astype(jnp.float32) / 127.5 - 1
    warp_key, order_key = jax.random.split(key)
    keys = jax.vmap(lambda i: jax.random.fold_in(warp_key, i))(rest)
    warp = partial(pseudo_grid, views=data.views, height=data.height, width=data.width)
    warps = Batch(jax.vmap(warp)(keys, clips), *_no_cameras(warped, data))
    order = jax.random.permutation(jax.random.fold_in(order_key, indices[0]), len(indices))
    return jax.tree.map(lambda *x: jnp.concatenate(x)[order], rendered, warps)


def _no_cameras(count: int, data: DataConfig) -> tuple[Float[Array, "b t h w"], Cameras]:
    """Return unknown depth (0) and identity cameras."""
    eye = jnp.eye(4)[None, None, None]
    lenses = jnp.broadcast_to(eye[0, ..., :3, :3], (count, data.views, 3, 3))
    poses = jnp.broadcast_to(eye, (count, data.views, data.frames, 4, 4))
    depth = jnp.zeros((count, data.frames, data.height, data.width))
    return depth, Cameras(lenses, poses, data.height, data.width)


def _larger(side: int) -> int:
    return round(MARGIN * side)


def _random_window(
    path: Path, generator: np.random.Generator, data: DataConfig, height: int, width: int
) -> UInt8[np.ndarray, "t H W 3"]:
    """Read frames of a video from a random moment on."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:  # some containers know only their own, sound included
            duration = (container.duration or 0) / av.time_base
        step = max(1 / data.fps, 1 / float(stream.average_rate or data.fps))
    last = max(0.0, duration - data.frames * step)
    size = {"height": height, "width": width, "frames": data.frames}
    start = last * generator.random()
    return read_video(path, **size, start=start, usual=data.fps).frames
