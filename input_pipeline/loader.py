"""Batches in an order that is a pure function of (seed, index), whatever the number of hosts.

Element i of the endless shuffled stream is the same for every number of hosts; host p of c reads
the elements p, p + c, p + 2c, ..., so that together they read each global batch once. Resuming is
starting at a step: there is no other state.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grain
import numpy as np


def make_loader(
    source: Sequence[Any],
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    transform: Callable[[Any, np.random.Generator], Any] | None = None,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 4,
) -> Iterator[Any]:
    """Shuffled batches without end, from batch number `start_step` on.

    Args:
      source: random access to records, or a `range` of scene indices (of any length below 2**31:
        the shuffle is a formula, not a table), whose batches are int32 arrays.
      seed: decides the order of every epoch and the generators given to `transform`.
      batch_size: elements of a global batch, over all hosts.
      start_step: number of global batches to skip, at no cost.
      transform: maps (element, generator) to the arrays that are stacked; the generator depends on
        the seed and the element's place in the stream only.
      process_index: which host this is.
      process_count: how many hosts there are.
      threads: batches made at once; as many again wait.

    Returns:
      An iterator of this host's part of each batch, `batch_size / process_count` elements.

    Raises:
      ValueError: for an empty source, or a batch that the hosts cannot share evenly.
    """
    if not len(source):
        raise ValueError("loader source: found no elements, expected at least one")
    if batch_size % process_count:
        raise ValueError(
            f"batch_size: found {batch_size}, expected a multiple of {process_count} (hosts)"
        )
    stream = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    if isinstance(source, range):
        stream = stream.map(np.int32)
    if transform is not None:
        stream = stream.random_map(transform)
    # Nothing remains of an endless stream; grain would count remainders beyond what a length holds.
    mine = stream[process_index::process_count]
    batches = mine.batch(batch_size // process_count, drop_remainder=True)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(batches[start_step:].to_iter_dataset(options))
