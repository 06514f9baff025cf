"""Training from records: which clips a step sees, what of them, and their way to the devices."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float32, UInt8

from full4d_jax.batch import Batch
from full4d_jax.config import Config
from full4d_jax.errors import InputError, as_input_error
from full4d_jax.mesh import put_batch, rows_here
from input_pipeline.cameras import centers, relative_to
from input_pipeline.dataset import Records, open_dataset
from input_pipeline.loader import Filling, Mixture, make_loader
from input_pipeline.sampling import choose_times, choose_views, select
from input_pipeline.schema import Example
from input_pipeline.transforms import decode_depths, decode_frames, to_source

SPLIT = "train"


class HostClip(NamedTuple):
    """A clip, or a batch of them, in the host's memory; view 0 is the source (see `Batch`)."""

    frames: UInt8[np.ndarray, "v t h w 3"]
    depth: Float32[np.ndarray, "t h w"]
    intrinsics: Float32[np.ndarray, "v 3 3"]
    world_to_camera: Float32[np.ndarray, "v t 4 4"]


def record_batches(config: Config, start: int, mesh: Mesh | None = None) -> Iterator[Batch]:
    """Batches from step `start` on; every process decodes what its own devices hold.

    Raises:
      InputError: a dataset cannot be used (`open_records`).
    """
    size = config.training.batch
    rows = range(size) if mesh is None else rows_here(mesh, size)
    clips = host_clips(config, open_records(config), start, rows)
    finish = jax.jit(_to_batch)
    if mesh is None:
        return map(finish, clips)
    return (finish(put_batch(mesh, clip, rows, size)) for clip in clips)


def host_clips(
    config: Config, mixture: Mixture, start: int, rows: Sequence[int]
) -> Iterator[HostClip]:
    """Batches as far as a host goes: its rows of each, in its memory."""
    return make_loader(
        mixture,
        seed=config.seed,
        batch_size=config.training.batch,
        start_step=start,
        transform=partial(choose, config=config),
        filling=Filling(partial(allocate, config=config), partial(load, config=config)),
        rows=rows,
    )


def open_records(config: Config) -> Mixture:
    """The datasets of `config.data.records` and their shares.

    Raises:
      InputError: one is not there or not finished, or has clips with fewer views or instants than
        the config asks for, or without the depth that projection needs.
    """
    folders, weights = _folders(config.data.records)
    sources = []
    for folder in folders:
        try:
            sources.append(open_dataset(folder, SPLIT))
        except ValueError as error:
            do = "make it with full4d data, or change --data.records"
            raise as_input_error("records", error, do) from error
        _check_clips(config, sources[-1])
    if not weights:  # every clip alike
        weights = [len(source) for source in sources]
    return Mixture(tuple(sources), tuple(weights))


def choose(example: Example, generator: np.random.Generator, config: Config) -> Example:
    """Some views and instants of a record, the source first.

    With projection the source is any view whose depth is known at all of the instants. Without,
    views are neighbours in the record's own order.
    """
    data = config.data
    views, frames = example.frames.shape
    times = choose_times(generator, frames, data.frames, strides=data.strides)
    if config.model.projection == "none":
        return select(example, choose_times(generator, views, data.views), times)
    known = [view for view in range(views) if all(example.depth16[view, times])]
    chosen = choose_views(
        generator,
        centers(example.world_to_camera[:, times[0]]),
        data.views,
        sources=known,
        spread=data.targets == "spread",
    )
    return select(example, chosen, times)


def allocate(_: Example, size: int, config: Config) -> HostClip:
    """Memory for so many clips."""
    data = config.data
    frames = size, data.views, data.frames, data.height, data.width, 3
    return HostClip(
        frames=np.empty(frames, np.uint8),
        depth=np.zeros((size, data.frames, data.height, data.width), np.float32),
        intrinsics=np.empty((size, data.views, 3, 3), np.float32),
        world_to_camera=np.empty((size, data.views, data.frames, 4, 4), np.float32),
    )


def load(part: Example, clips: HostClip, place: int, config: Config) -> None:
    """Decode what was chosen of a record, in the frame and, with projection, unit of its source.

    Raises:
      ValueError: naming the scene, if a file is damaged or no depth is known at the first instant.
    """
    frames, depth, intrinsics, poses = (field[place] for field in clips)
    intrinsics[:] = decode_frames(part, frames)
    if config.model.projection == "none":
        poses[:] = relative_to(part.world_to_camera, part.world_to_camera[0, 0])
        return
    decode_depths(part._replace(depth16=part.depth16[:1]), depth[None])
    try:
        depth[:], poses[:] = to_source(depth, part.world_to_camera)
    except ValueError as error:
        first = f"{part.timestamps[0, 0]:g} s"
        raise ValueError(f"scene {part.scene_id}, from {first} on: {error}") from None


def contents(config: Config) -> list[str]:
    """What the datasets of a run hold, by hash, and their shares."""
    mixture = open_records(config)
    pairs = zip(mixture.sources, mixture.weights, strict=True)
    return [f"sha256:{records.content}={weight:g}" for records, weight in pairs]  # type: ignore


def clips_at(config: Config, position: int) -> list[str]:
    """Names of the clips in the batch at a position in the data."""
    mixture = open_records(config)
    names = tuple(
        [f"{source.folder} {i} ({scene})" for i, scene in enumerate(source.scene_ids)]  # type: ignore
        for source in mixture.sources
    )
    size = config.training.batch
    named = mixture._replace(sources=names)
    return next(make_loader(named, seed=config.seed, batch_size=size, start_step=position)).tolist()


def _to_batch(clips: HostClip) -> Batch:
    frames, *rest = map(jnp.asarray, clips)
    return Batch(frames.astype(jnp.float32) / 127.5 - 1, *rest)


def _folders(records: tuple[str, ...]) -> tuple[list[str], list[float]]:
    """Folders, and their weights if they have some."""
    folders, weights = [], []
    for word in records:
        folder, _, weight = word.rpartition("=")
        is_weighted = bool(folder) and re.fullmatch(r"\d+(\.\d*)?|\.\d+", weight) is not None
        folders.append(folder if is_weighted else word)
        if is_weighted:
            weights.append(float(weight))
    if weights and (len(weights) < len(records) or min(weights) == 0):
        expected, do = "a weight above 0 for all datasets or for none", "change --data.records"
        raise InputError("config", "data.records", " ".join(records), expected, do)
    return folders, weights


def _check_clips(config: Config, records: Records) -> None:
    """Refuse a dataset some clip of which could not be used."""
    data = config.data
    least = (data.frames - 1) * min(data.strides) + 1
    for number, clip in enumerate(records.clips):
        where = f"{records.folder}, clip {number} ({clip['scene']})"
        for field, needed in (("views", data.views), ("frames", least)):
            if clip[field] < needed:
                found, expected = f"{clip[field]} {field}", f"at least {needed}"
                raise InputError("dataset", where, found, expected, f"lower --data.{field}")
        if config.model.projection != "none" and not clip["depth"]:
            expected = "depth of at least one view, for its projection into the others"
            do = "make the dataset with depth, or train a model with --model.projection none"
            raise InputError("dataset", where, "no view with depth", expected, do)
