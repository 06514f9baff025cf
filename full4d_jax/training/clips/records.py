"""Training from records: which datasets and clips a run sees, in which order and shares."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding

from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.models.codecs.codec import codec_id
from full4d_jax.models.conditions import reads_filled
from full4d_jax.models.sharding import put_batch, rows_here, spec
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.training.clips.grid_motion import batches_with_motion
from full4d_jax.training.clips.projected_clips import allocate_like, choose_projected, copy
from full4d_jax.training.clips.record_clips import SizedRecords, allocate, choose, clip_size, load
from input_pipeline.datasets.card import Facts
from input_pipeline.datasets.dataset import Records, open_dataset
from input_pipeline.loader import Filling, Mixture, make_loader

SPLIT = "train"


def record_batches(
    config: Config, start: int, mesh: Mesh | None = None, *, held_out: bool = False
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return the batches from step `start` on; each process decodes what its devices hold.

    Args:
      config: the experiment.
      start: number of batches to skip.
      mesh: over whose devices the samples are sharded; None for one device.
      held_out: whether of the scenes that are never trained on, or of the others.

    Raises:
      InputError: a dataset cannot be used (`open_records`).
    """
    return batches_of(config, open_records(config, held_out=held_out), start, mesh)


def batches_of(
    config: Config, mixture: Mixture, start: int, mesh: Mesh | None
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return the batches of a mixture of `SizedRecords`, as `record_batches`."""
    size = config.training.batch
    rows = range(size) if mesh is None else rows_here(mesh, size)
    clips = host_clips(config, mixture, start, rows)
    if config.data.projections:  # as they are: half as many bytes to move
        put = jax.device_put if mesh is None else partial(put_batch, mesh, rows=rows, size=size)
        return map(put, clips)
    clips = batches_with_motion(config.model, clips)
    if mesh is None:
        return map(jax.jit(_to_floats), clips)
    finish = jax.jit(_to_floats, out_shardings=NamedSharding(mesh, spec("samples")))
    return (finish(put_batch(mesh, clip, rows, size)) for clip in clips)


def host_clips(
    config: Config, mixture: Mixture, start: int, rows: Sequence[int]
) -> Iterator[Batch] | Iterator[ProjectedBatch]:
    """Return this host's rows of each batch, in its memory."""
    if config.data.projections:
        transform = choose_projected
        filling = Filling(allocate_like, copy)
    else:
        transform = choose
        filling = Filling(partial(allocate, config=config), partial(load, config=config))
    return make_loader(
        mixture,
        seed=config.seed,
        batch_size=config.training.batch,
        start_step=start,
        transform=partial(transform, config=config),
        filling=filling,
        rows=rows,
    )


def open_records(config: Config, *, held_out: bool = False) -> Mixture:
    """Open the datasets of `config.data.records`, divided by the size of their clips.

    Args:
      config: the experiment.
      held_out: whether to give the scenes that are never trained on, or the others.

    Raises:
      InputError: a dataset is missing or unfinished; or clips have fewer views or instants than the
        config asks for, no depth for the projection, or latents or text that do not fit; or all
        scenes of a dataset are held out.
    """
    folders, weights = open_folders(config)
    scenes = held_out_scenes(config, folders)
    sources = []
    shares = []
    for records, weight in zip(folders, weights, strict=True):
        numbers = [n for n, x in enumerate(records.scene_ids) if (x in scenes) == held_out]
        if not numbers and not held_out:
            do = "lower --data.held_out, or leave the dataset out"
            raise InputError("dataset", records.folder, "all scenes held out", "others too", do)
        groups: dict[tuple[int, int], list[int]] = {}
        for number in numbers:
            groups.setdefault(clip_size(config, records.clips[number]), []).append(number)
        for size, group in sorted(groups.items()):
            sources.append(SizedRecords(records, group, size))
            shares.append(weight * len(group) / len(numbers))
    return Mixture(tuple(sources), tuple(shares), whole_batches=bool(config.data.buckets))


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
    order = sorted(scenes, key=lambda scene: hashlib.sha256(f"held out: {scene}".encode()).digest())
    return frozenset(order[:count])


def open_folders(config: Config) -> tuple[list[Records], list[float]]:
    """Open the datasets; return them with their weights, by default their numbers of clips."""
    folders, weights = _folders(config.data.records)
    opened = []
    for folder in folders:
        with input_errors("records", "make it with full4d data, or change --data.records"):
            opened.append(open_dataset(folder, SPLIT))
        _check_clips(config, opened[-1])
    _check_latents(config, opened)
    return opened, weights or [float(len(records)) for records in opened]


def contents(config: Config) -> list[str]:
    """Return the hash and the weight of each dataset of a run."""
    pairs = zip(*open_folders(config), strict=True)
    return [f"sha256:{records.content}={weight:g}" for records, weight in pairs]


def record_names_at(config: Config, position: int) -> list[str]:
    """Return the names of the clips in the batch at a position in the data."""

    def names(clips: SizedRecords) -> list[str]:
        records = clips.records
        return [f"{records.folder} {i} ({records.scene_ids[i]})" for i in clips.numbers]

    return _words_at(config, open_records(config), position, names)


def held_out_scenes_at(config: Config, position: int) -> list[str]:
    """Return the scenes of the clips in the held-out batch at a position."""

    def scenes(clips: SizedRecords) -> list[str]:
        return [clips.records.scene_ids[i] for i in clips.numbers]

    return _words_at(config, open_records(config, held_out=True), position, scenes)


def _words_at(
    config: Config, mixture: Mixture, position: int, words: Callable[[SizedRecords], list[str]]
) -> list[str]:
    """Return the words of the clips in a batch; `words` gives those of all clips of a source."""
    named = []
    for clips in mixture.sources:
        assert isinstance(clips, SizedRecords)
        named.append(words(clips))
    named = mixture._replace(sources=tuple(named))
    size = config.training.batch
    return next(make_loader(named, seed=config.seed, batch_size=size, start_step=position)).tolist()


def _to_floats(clips: Batch) -> Batch:
    """Return what the host's memory holds in bytes and half floats as float32."""
    frames = clips.frames.astype(jnp.float32) / 127.5 - 1
    latents = None if clips.latents is None else clips.latents.astype(jnp.float32)
    text = None if clips.text is None else clips.text.astype(jnp.float32)
    return clips._replace(frames=frames, latents=latents, text=text)


def _folders(records: tuple[str, ...]) -> tuple[list[str], list[float]]:
    """Return the folders, and their weights if given."""
    folders = []
    weights = []
    for word in records:
        folder, _, weight = word.rpartition("=")
        is_weighted = bool(folder) and re.fullmatch(r"\d+(\.\d*)?|\.\d+", weight) is not None
        folders.append(folder if is_weighted else word)
        if is_weighted:
            weights.append(float(weight))
    if weights and (len(weights) < len(records) or min(weights) == 0):
        expected = "a weight above 0 for all datasets or for none"
        do = "change --data.records"
        raise InputError("config", "data.records", " ".join(records), expected, do)
    return folders, weights


def _check_clips(config: Config, records: Records) -> None:
    """Refuse a dataset that has a clip which cannot be used."""
    data = config.data
    width = config.model.text_width
    least = (data.frames - 1) * min(data.strides) + 1
    for number, clip in enumerate(records.clips):
        where = _where(records, number)
        frames = data.frames if _joins_frames(config, clip) else least
        for field, needed in (("views", data.views), ("frames", frames)):
            if clip[field] < needed:
                count = f"{clip[field]} {field}"
                do = f"lower --data.{field}"
                raise InputError("dataset", where, count, f"at least {needed}", do)
        if config.model.needs_cameras and not clip["depth"]:
            expected = "depth of at least one view, for its projection into the others"
            do = "make the dataset with depth, or train a model with --model.projection none"
            raise InputError("dataset", where, "no view with depth", expected, do)
        if data.captions and clip["text"][1:] != [width]:
            text = f"text of width {clip['text'][1]}" if clip["text"] else "no embedded caption"
            do = "encode it with --text_encoder, or leave --data.captions out"
            raise InputError("dataset", where, text, f"text of width {width}", do)


def _check_latents(config: Config, opened: Sequence[Records]) -> None:
    """Refuse latents of another codec or size, and a mix of datasets with and without latents."""
    if config.data.projections:
        _check_projections(config, opened)
    if not any(clip["codec"] for records in opened for clip in records.clips):
        return
    model = config.model
    data = config.data
    codec = codec_id(config)
    strides = strides_of(model.codec, model.codec_stride)
    again = "encode it again with this config (full4d data encode), or train on what it was made of"
    if data.lines and not model.needs_cameras:
        do = "train on what it was made of"
        raise InputError("config", "data.lines", True, "False with cached latents", do)
    for records in opened:
        for number, clip in enumerate(records.clips):
            where = _where(records, number)
            if clip["codec"] != codec:
                raise InputError("dataset", where, f"latents of {clip['codec']!r}", codec, again)
            height, width = clip_size(config, clip)
            size = [height // strides.pixels, width // strides.pixels]
            expected = [strides.latent_frames(clip["frames"]), *size, strides.channels]
            fits = clip["latents"] == expected and (clip["height"], clip["width"]) == (
                height,
                width,
            )
            if not fits:
                words = f"{expected} of pictures of {width}x{height}"
                latents = f"latents {clip['latents']} of {clip['width']}x{clip['height']}"
                raise InputError("dataset", where, latents, words, again)
            if _joins_frames(config, clip) and clip["frames"] != data.frames:
                windows = f"windows of {clip['frames']} frames"
                raise InputError("dataset", where, windows, f"{data.frames}", again)


def _check_projections(config: Config, opened: Sequence[Records]) -> None:
    """Refuse clips with another number of encoded projections, or without what the model reads."""
    wanted = config.data.projections
    needs_filled = reads_filled(config.model)
    for records in opened:
        for number, clip in enumerate(records.clips):
            stored = clip["projections"]
            if stored == wanted and (clip["filled"] or not needs_filled):
                continue
            words = f"{stored} encoded projections"
            do = "encode it with this config (full4d data encode)"
            if stored == wanted:
                words += ", none with its holes filled"
            else:
                do += f", or train with --data.projections {stored}"
            where = _where(records, number)
            raise InputError("dataset", where, words, f"{wanted} that this model reads", do)


def _joins_frames(config: Config, clip: Facts) -> bool:
    """Return whether a clip is a window that is used as a whole."""
    strides = strides_of(config.model.codec, config.model.codec_stride)
    return bool(clip["codec"]) and (strides.frames > 1 or clip["projections"] > 0)


def _where(records: Records, number: int) -> str:
    return f"{records.folder}, clip {number} ({records.clips[number]['scene']})"
