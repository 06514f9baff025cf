"""Plan which clips go into which file of a data set, make records, and write one such file.

Records are checked, and made in order by as many processes or threads as wanted.
"""

import contextlib
import errno
import hashlib
import json
import math
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from array_record.python.array_record_module import ArrayRecordWriter

from input_pipeline import addresses, schema, whole_files
from input_pipeline.datasets.card import FACTS_VERSION, Facts, facts
from input_pipeline.datasets.records import to_bytes
from input_pipeline.plain_files import (
    check_field,
    file_hash,
    load_json,
    named,
    parse_json,
)

# The folder in a dataset with what is known of each finished shard.
FOLDER = "shards"
# One record a read; pictures do not shrink further.
OPTIONS = "group_size:1,uncompressed"


class Shard(NamedTuple):
    """One file of a dataset, to be or finished."""

    file: str
    split: str
    clips: tuple[int, ...]
    """Places in what the dataset is made of."""


def split_of(scene_id: str, splits: Mapping[str, float]) -> str:
    """Return the split of a scene, a pure function of its name: no other scene can move it."""
    digest = hashlib.sha256(scene_id.encode()).digest()
    place = int.from_bytes(digest[:7]) / 2**56 * sum(splits.values())
    borders = accumulate(splits.values())
    return next(n for n, border in zip(splits, borders, strict=True) if place < border)


def plan_shards(
    scene_ids: Sequence[str], *, name: str, splits: Mapping[str, float], shards: int
) -> tuple[Shard, ...]:
    """Return all files of a dataset, of nearly equal numbers of clips.

    Args:
      scene_ids: of every clip.
      name: of the dataset, snake_case.
      splits: names and shares of the scenes; the first must get some.
      shards: about how many files; every split has at least one, and every file a clip.

    Raises:
      ValueError: names or numbers cannot be used, or the first split gets no scene.
    """
    check_field(f"dataset {name}", len(scene_ids), "no clips", "at least one")
    for word in (name, *splits):
        fits = re.fullmatch("[a-z_][a-z0-9_]*", word)
        check_field("dataset name", fits, repr(word), "lower_case_words")
    fits = splits and all(0 < share < math.inf for share in splits.values())
    check_field("splits", fits, dict(splits), "names with shares above 0")
    members: dict[str, list[int]] = {split: [] for split in splits}
    for clip, scene_id in enumerate(scene_ids):
        members[split_of(scene_id, splits)].append(clip)
    first = next(iter(splits))
    found = f"none of {len(set(scene_ids))} scenes"
    check_field(f"split {first}", members[first], found, "some; give it a larger share")
    plan = []
    for split, clips in members.items():
        count = min(len(clips), max(1, round(shards * len(clips) / len(scene_ids))))
        for i in range(count):
            file = f"{name}-{split}.array_record-{i:05d}-of-{count:05d}"
            part = clips[i * len(clips) // count : (i + 1) * len(clips) // count]
            plan.append(Shard(file, split, tuple(part)))
    return tuple(plan)


def plan_id(plan: Sequence[Shard], scene_ids: Sequence[str], about: str) -> str:
    """Return a hash of what makes two builds the same."""
    text = json.dumps([[*map(list, plan)], list(scene_ids), about, FACTS_VERSION])
    return hashlib.sha256(text.encode()).hexdigest()


@runtime_checkable
class ClipSource(Protocol):
    """Clips that a data set is made of; several processes receive it by pickle."""

    @property
    def scene_ids(self) -> Sequence[str]:
        """Scene of each clip."""
        ...

    def __len__(self) -> int:
        """Number of clips."""
        ...

    def __getitem__(self, index: int, /) -> schema.Example:
        """Return one clip, a pure function of the index."""
        ...


def encode_example(clips: ClipSource, index: int, scene_id: str) -> tuple[bytes, Facts]:
    """Return the record of a clip of that scene, and its facts for the index.

    Raises:
      ValueError: the clip breaks a promise of the schema.
    """
    with named(f"clip {index} ({scene_id}): "):
        example = schema.validate(clips[index])
        expected = f"{scene_id!r}, as in scene_ids"
        fits = example.scene_id == scene_id
        check_field("record field scene_id", fits, repr(example.scene_id), expected)
        return to_bytes(example), facts(example)


def encoded_records(
    clips: ClipSource, pairs: Iterable[tuple[int, str]], jobs: int, threads: int
) -> Iterator[tuple[bytes, Facts]]:
    """Yield `encode_example` of the wanted clips in order; two for each worker are in memory.

    Args:
      clips: all of them.
      pairs: numbers and scenes of the wanted clips.
      jobs: processes that have the clips.
      threads: of this process, that make records instead where there are several.
    """
    pool: Executor = ThreadPoolExecutor(threads)
    encode = partial(encode_example, clips)
    if jobs > 1 and threads == 1:
        # `fork` would copy locks of threads, jax's for example.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(jobs, context, _set_clips, (clips,))
        encode = _encode_here
    pairs = iter(pairs)
    with pool:
        first = islice(pairs, 2 * max(jobs, threads))
        waiting = deque(pool.submit(encode, *pair) for pair in first)
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(encode, *pair) for pair in islice(pairs, 1))


# The clips of a worker process.
_clips: Any = None


def _set_clips(clips: ClipSource) -> None:
    global _clips
    _clips = clips


def _encode_here(index: int, scene_id: str) -> tuple[bytes, Facts]:
    return encode_example(_clips, index, scene_id)


def write_shard(
    folder: Path, shard: Shard, records: Iterator[tuple[bytes, Facts]], plan: str
) -> None:
    """Write a shard and its facts.

    Both appear under their names when they are complete, the shard first.

    Args:
      folder: of the dataset.
      shard: which.
      records: those of its clips come next here.
      plan: what `plan_id` returned.

    Raises:
      OSError: the disk is full, or something else that the system said.
    """
    clip_facts = []
    with (
        _system_errors(folder / shard.file),
        whole_files.whole_file(folder / shard.file) as partial,
    ):
        writer = ArrayRecordWriter(str(partial), OPTIONS)
        for record, known in islice(records, len(shard.clips)):
            writer.write(record)
            clip_facts.append(known)
        writer.close()
        entry = {"plan": plan, "bytes": partial.stat().st_size, "clips": clip_facts}
        entry["sha256"] = file_hash(partial)
    whole_files.write_text(folder / FOLDER / f"{shard.file}.json", json.dumps(entry))


@contextlib.contextmanager
def _system_errors(path: Path) -> Iterator[None]:
    """Raise OSError for system errors that array_record reports as text."""
    try:
        yield
    except RuntimeError as error:
        for number in errno.errorcode:
            if f"failed: {os.strerror(number)};" in str(error):
                raise OSError(number, os.strerror(number), str(path)) from error
        raise


def intact(folder: Path, shard: Shard) -> bool:
    """Return whether a shard is complete and unchanged; reads all its bytes.

    In object storage its size is compared: stores check what is uploaded, and change nothing.
    """
    entry = finished(folder, shard)
    if entry is None or addresses.address_of(folder):
        return entry is not None
    return file_hash(folder / shard.file) == entry["sha256"]


def finished(folder: Path, shard: Shard) -> dict[str, Any] | None:
    """Return the facts of a complete shard, judged by its size; None if it is incomplete."""
    known = f"{FOLDER}/{shard.file}.json"
    address = addresses.address_of(folder)
    with contextlib.suppress(OSError, ValueError, KeyError):
        if address:
            entry = parse_json(addresses.read_stored(f"{address}/{known}"), address)
            size = addresses.stored_files(f"{address}/{shard.file}")[""].size
        else:
            entry = load_json(folder / known)
            size = (folder / shard.file).stat().st_size
        if {"plan", "bytes", "sha256", "clips"} <= entry.keys() and size == entry[
            "bytes"
        ]:
            return entry
    return None
