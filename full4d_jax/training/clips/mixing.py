"""Training from records: which datasets and clips a run sees, in which order and shares."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from full4d_jax.config import Config, ModelConfig
from full4d_jax.generation.batch import Batch
from full4d_jax.geometry.image_motion import carried_motion, motion_from_first
from full4d_jax.media.pictures import to_model, to_uint8, to_unit
from full4d_jax.models.codec_files import codec_id
from full4d_jax.models.dit.sharding import put_batch, rows_here, sharding_on
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.session.fields import require
from full4d_jax.training.clips import record_clips
from full4d_jax.training.clips.projected_batch import ProjectedBatch
from input_pipeline.datasets.card import Facts
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.loader import Filling, Mixture, make_loader

SPLIT = "train"
Batches = Iterator[Batch] | Iterator[ProjectedBatch]


def batches_of(
    config: Config, mixture: Mixture, start: int, mesh: Mesh | None
) -> Batches:
    """Return the batches of records from step `start` on; each process decodes its devices' clips.

    Args:
      config: the experiment.
      mixture: the records, as `open_records` gives them.
      start: number of batches to skip.
      mesh: over whose devices the samples are sharded; None for one device.
    """
    size = config.training.batch
    rows = rows_here(mesh, size)
    clips = host_clips(config, mixture, start, rows)
    put = partial(put_batch, mesh, rows=rows, size=size)
    if config.data.projections:
        # As they are: half as many bytes to move.
        return map(put, clips)
    finish = jax.jit(_to_floats, out_shardings=sharding_on(mesh, "samples"))
    return (finish(put(clip)) for clip in batches_with_motion(config.model, clips))


def host_clips(
    config: Config, mixture: Mixture, start: int, rows: Sequence[int]
) -> Batches:
    """Return this host's rows of each batch, in its memory."""
    if config.data.projections:
        projected = partial(record_clips.choose_projected, config)
        return draws(config, mixture, start, transform=projected, rows=rows)
    filling = Filling(
        partial(record_clips.allocate, config), partial(record_clips.load, config)
    )
    chosen = partial(record_clips.choose, config)
    return draws(config, mixture, start, transform=chosen, filling=filling, rows=rows)


def draws(
    config: Config, source: Sequence[Any] | Mixture, start: int, **more: Any
) -> Iterator[Any]:
    """Return what `make_loader` draws of a source in each batch, from batch `start` on."""
    size = config.training.batch
    return make_loader(
        source, seed=config.seed, batch_size=size, start_step=start, **more
    )


def open_records(config: Config, *, held_out: bool = False) -> Mixture:
    """Open the datasets of `config.data.records`, divided by the size of their clips.

    Args:
      config: the experiment.
      held_out: whether to give the scenes that are never trained on, or the others.

    Raises:
      InputError: a dataset is missing or unfinished; or clips have fewer views or instants than the
        config needs, no depth for the projection, or latents or text that do not fit; or all
        scenes of a dataset are held out.
    """
    folders, weights = open_folders(config)
    scenes = held_out_scenes(config, folders)
    sources = []
    shares = []
    for records, weight in zip(folders, weights, strict=True):
        numbers = [
            n for n, x in enumerate(records.scene_ids) if (x in scenes) == held_out
        ]
        if not numbers and not held_out:
            found = "all scenes held out"
            do = "lower --data.held_out, or leave the dataset out"
            raise InputError("dataset", records.folder, found, "others too", do)
        groups = defaultdict(list)
        for number in numbers:
            groups[record_clips.clip_size(config, records.clips[number])].append(number)
        for size, group in sorted(groups.items()):
            sources.append(record_clips.SizedRecords(records, group, size))
            shares.append(weight * len(group) / len(numbers))
    return Mixture(
        tuple(sources), tuple(shares), whole_batches=bool(config.data.buckets)
    )


def held_out_scenes(config: Config, opened: Sequence[Records]) -> frozenset[str]:
    """Return the scenes that are never trained on, the same ones in every dataset.

    They are the first in the order of a hash of their names: a share `data.held_out` of all,
    rounded, but at least one.

    Raises:
      InputError: there is one scene only.
    """
    share = config.data.held_out
    if not share:
        return frozenset()
    scenes = {scene for records in opened for scene in records.scene_ids}
    if len(scenes) < 2:
        do = "add scenes, or leave --data.held_out out"
        raise InputError("dataset", opened[0].folder, "1 scene", "at least 2", do)
    count = min(max(round(share * len(scenes)), 1), len(scenes) - 1)

    # Salted: the splits of a dataset are cut by the plain hash of the same names.
    def rank(scene: str) -> bytes:
        return hashlib.sha256(f"held out: {scene}".encode()).digest()

    return frozenset(sorted(scenes, key=rank)[:count])


def open_folders(config: Config) -> tuple[list[Records], list[float]]:
    """Open the datasets; return them with their weights, by default their numbers of clips."""
    records = config.data.records
    matches = [re.fullmatch(r"(.+)=(\d+\.?\d*|\.\d+)", word) for word in records]
    folders = [x[1] if x else word for x, word in zip(matches, records, strict=True)]
    weights = [float(x[2]) for x in matches if x]
    fits = not weights or (len(weights) == len(records) and min(weights) > 0)
    expected = "a weight above 0 for all datasets or for none"
    require("data.records", " ".join(records), fits, expected)
    with input_errors("records", "make it with full4d data, or change --data.records"):
        opened = [open_dataset(folder, SPLIT) for folder in folders]
    _check_clips(config, opened)
    return opened, weights or [float(len(clips)) for clips in opened]


def contents(folders: Sequence[Records], weights: Sequence[float]) -> list[str]:
    """Return the hash and the weight of each dataset of a run."""
    pairs = zip(folders, weights, strict=True)
    return [f"sha256:{records.content}={weight:g}" for records, weight in pairs]


def record_names_at(config: Config, position: int) -> list[str]:
    """Return the names of the clips in the batch at a position in the data."""

    def name(records: Records, i: int) -> str:
        return f"{records.folder} {i} ({records.scene_ids[i]})"

    return _names_at(config, open_records(config), position, name)


def held_out_scenes_at(config: Config, position: int) -> list[str]:
    """Return the scenes of the clips in the held-out batch at a position."""
    mixture = open_records(config, held_out=True)
    return _names_at(config, mixture, position, lambda records, i: records.scene_ids[i])


def _names_at(
    config: Config, mixture: Mixture, position: int, name: Callable[[Records, int], str]
) -> list[str]:
    """Return the names of the clips in a batch; `name` gives that of a clip by its number."""
    clips: Any = mixture.sources
    names = tuple([name(x.records, i) for i in x.numbers] for x in clips)
    return next(draws(config, mixture._replace(sources=names), position)).tolist()


def _to_floats(clips: Batch) -> Batch:
    """Return what the host's memory holds in bytes and half floats as float32."""
    clips = jax.tree.map(lambda x: x.astype(jnp.float32), clips)
    return clips._replace(frames=to_model(clips.frames))


def batches_with_motion(model: ModelConfig, batches: Iterator[Any]) -> Iterator[Any]:
    """Return the batches, for a model that moves its base with the motion in each clip."""
    return map(with_motion, batches) if model.parametrisation.moves_base else batches


def with_motion(batch: Batch) -> Batch:
    """Return a batch with the motion that its first rows carry over, and the true one."""
    frames = np.asarray(batch.frames)
    clips = frames if frames.dtype == np.uint8 else to_uint8(to_unit(frames))
    carried = np.stack([carried_motion(clip) for clip in clips])
    pairs = [(x, trusted[..., None]) for x, trusted in map(motion_from_first, clips)]
    true = np.stack([np.concatenate(x, -1, dtype=np.float32) for x in pairs])
    return batch._replace(motion=jnp.asarray(carried), true_motion=jnp.asarray(true))


def _check_clips(config: Config, opened: Sequence[Records]) -> None:
    """Refuse a dataset that has a clip which cannot be used."""
    clips = [clip for records in opened for clip in records.clips]
    has_latents = any(clip["codec"] for clip in clips)
    takes_lines = config.data.lines and not config.model.needs_cameras
    fits = not (has_latents and takes_lines)
    require("data.lines", True, fits, "False with cached latents")
    codec = codec_id(config) if has_latents else None
    for records in opened:
        for number, clip in enumerate(records.clips):
            where = f"{records.folder}, clip {number} ({clip['scene']})"
            for found, expected, do in _misfits(config, clip, codec):
                raise InputError("dataset", where, found, expected, do)


def _misfits(
    config: Config, clip: Facts, codec: str | None
) -> Iterator[tuple[str, str, str]]:
    """Yield what is found and expected, and what to do, for each reason against a clip.

    Args:
      config: the experiment.
      clip: the facts of the clip.
      codec: of the latents, which all clips must have where any has some; None without latents.
    """
    model = config.model
    data = config.data
    strides = model.strides
    # A window is used as a whole.
    is_window = bool(clip["codec"]) and (strides.frames > 1 or clip["projections"] > 0)
    frames = data.frames if is_window else (data.frames - 1) * min(data.strides) + 1
    for field, needed in (("views", data.views), ("frames", frames)):
        if clip[field] < needed:
            has = f"{clip[field]} {field}"
            yield has, f"at least {needed}", f"lower --data.{field}"
    if model.needs_cameras and not clip["depth"]:
        expected = "depth of at least one view, to project it"
        do = "make the dataset with depth, or train a model whose guide is RealFrames"
        yield "no view with depth", expected, do
    if data.captions and clip["text"][1:] != [model.text_width]:
        wide = clip["text"][1:]
        found = f"text of width {wide[0]}" if wide else "no embedded caption"
        do = "encode it with --text_encoder, or leave --data.captions out"
        yield found, f"text of width {model.text_width}", do

    # Encoded projections, of which the model may read those with holes filled.
    again = "encode it again with this config (full4d data encode), or train on what it was made of"
    is_unfilled = model.reads_filled and not clip["filled"]
    if data.projections and (clip["projections"] != data.projections or is_unfilled):
        found = f"{clip['projections']} encoded projections"
        found += ", none with its holes filled" * is_unfilled
        yield found, f"{data.projections} that this model reads", again

    # Cached latents.
    if codec is None:
        return
    if clip["codec"] != codec:
        yield f"latents of {clip['codec']!r}", codec, again
    height, width = record_clips.clip_size(config, clip)
    cells = [height // strides.pixels, width // strides.pixels]
    shape = [strides.latent_frames(clip["frames"]), *cells, strides.channels]
    if clip["latents"] != shape or (clip["height"], clip["width"]) != (height, width):
        found = f"latents {clip['latents']} of {clip['width']}x{clip['height']}"
        yield found, f"{shape} of pictures of {width}x{height}", again
    if is_window and clip["frames"] != data.frames:
        yield f"windows of {clip['frames']} frames", f"{data.frames}", again
