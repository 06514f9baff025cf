"""Clips to records, checked, in order, by as many processes or threads as wanted."""

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from input_pipeline.datasets.card import Facts, facts
from input_pipeline.datasets.records import to_bytes
from input_pipeline.schema import Example, validate


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

    def __getitem__(self, index: int, /) -> Example:
        """A pure function of the index."""
        ...


def encode_example(clips: ClipSource, index: int, scene_id: str) -> tuple[bytes, Facts]:
    """Return the record of a clip of that scene, and its facts for the index.

    Raises:
      ValueError: the clip breaks a promise of the schema.
    """
    try:
        example = validate(clips[index])
        if example.scene_id != scene_id:
            found = repr(example.scene_id)
            expected = f"{scene_id!r}, as in scene_ids"
            raise ValueError(f"record field scene_id: found {found}, expected {expected}")
        return to_bytes(example), facts(example)
    except ValueError as error:
        raise ValueError(f"clip {index} ({scene_id}): {error}") from error


def workers(
    clips: ClipSource, jobs: int, threads: int = 1
) -> AbstractContextManager[Executor | None]:
    """Start processes that have the clips, or threads; None for one job in one thread."""
    if threads > 1:
        return ThreadPoolExecutor(threads)
    if jobs == 1:
        return nullcontext()
    # `fork` would copy locks of threads, jax's for example.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _set_clips, (clips,))


def encoded_records(
    clips: ClipSource, pairs: Iterable[tuple[int, str]], pool: Executor | None, jobs: int
) -> Iterator[tuple[bytes, Facts]]:
    """Yield `encode_example` of the wanted clips in order; 2 * jobs of them are in memory.

    Args:
      clips: what the pool was started with.
      pairs: numbers and scenes of the wanted clips.
      pool: what `workers` returned.
      jobs: its processes or threads.
    """
    if pool is None:
        for index, scene_id in pairs:
            yield encode_example(clips, index, scene_id)
        return
    threaded = isinstance(pool, ThreadPoolExecutor)
    encode = partial(encode_example, clips) if threaded else _encode_here
    pairs = iter(pairs)
    waiting = deque(pool.submit(encode, *pair) for pair in islice(pairs, 2 * jobs))
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
