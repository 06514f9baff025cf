"""Batches in an order that is a pure function of (seed, index), whatever the number of hosts.

Element i of the endless shuffled stream, and so batch n, the elements from n * batch_size on, is
the same for every number of hosts; each host reads its places in the batch. Resuming is starting
at a step: there is no other state.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import grain
import numpy as np

from input_pipeline.plain_files import check_field

ENDLESS = 2**62


Transform = Callable[[Any, np.random.Generator], Any] | None


class Mixture(NamedTuple):
    """Several sources, each of them shuffled and repeated on its own."""

    sources: tuple[Sequence[Any], ...]
    weights: tuple[float, ...]
    """Shares of the stream, closely kept from its first elements on."""
    whole_batches: bool = False
    """Each batch comes from one source only; sources may then differ in shape."""


class Filling(NamedTuple):
    """Functions that write elements into the arrays of their batch, which saves a copy."""

    allocate: Callable[[Any, int], Any]
    """(element, n): arrays for n elements like this one."""
    fill: Callable[[Any, Any, int], None]
    """(element, arrays, place): writes the element there; other threads write other places."""


def make_loader(
    source: Sequence[Any] | Mixture,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    transform: Transform = None,
    filling: Filling | None = None,
    rows: Sequence[int] | None = None,
    threads: int = 4,
) -> Iterator[Any]:
    """Return endless shuffled batches, from batch number `start_step` on.

    Args:
      source: random access to records, by any thread; or a `range` of scene indices (of any length
        below 2**31: the shuffle of so many is a formula, not a table), whose batches are int32
        arrays; or a mixture of those.
      seed: decides the order of every epoch and the generators given to `transform`.
      batch_size: elements of a global batch, over all hosts.
      start_step: number of global batches to skip, at no cost.
      transform: maps (element, generator) to the arrays that are stacked, or to what `filling`
        takes; the generator depends on the seed and the element's place in the stream only.
      filling: makes the arrays of a batch, instead of stacking those of its elements.
      rows: the places in each global batch that this host reads; default: all.
      threads: elements made at once; as many again wait.

    Returns:
      An iterator of this host's part of each batch, `len(rows)` elements.

    Raises:
      ValueError: a source is empty, weights are not those of the sources, or rows are not places
        of the batch.
    """
    mixture = source if isinstance(source, Mixture) else Mixture((source,), (1.0,))
    rows = range(batch_size) if rows is None else rows
    is_full = mixture.sources and all(map(len, mixture.sources))
    check_field("loader source", is_full, "no elements", "at least one")
    weights = list(mixture.weights)
    count = len(mixture.sources)
    fits = len(weights) == count and min(weights) > 0
    check_field("weights", fits, mixture.weights, f"{count} numbers above 0")
    fits = len(rows) and min(rows) >= 0 and max(rows) < batch_size
    check_field("rows", fits, list(rows), f"places in a batch of {batch_size}")
    streams = [
        _stream(part, (seed + number) % 2**32, transform)
        for number, part in enumerate(mixture.sources)
    ]
    # Of each turn of the mixture, the source and how many turns it had before.
    endless = grain.MapDataset.range(ENDLESS)
    numbered = [endless.map(lambda turn, n=n: (n, turn)) for n in range(count)]
    turns: Any = grain.MapDataset.mix(numbered, weights)
    # Of a turn.
    length = batch_size if mixture.whole_batches else 1

    def element(number: int) -> tuple[int, Any]:
        """Return an element of this host's stream and its place in the host's part of a batch."""
        step, place = divmod(number, len(rows))
        turn, rest = divmod(step * batch_size + rows[place], length)
        part, before = turns[turn]
        return number, streams[part][before * length + rest]

    rows_of_process = grain.MapDataset.range(start_step * len(rows), ENDLESS).map(
        element
    )
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    if filling is None:
        elements = rows_of_process.map(lambda pair: pair[1]).to_iter_dataset(options)
        return iter(elements.batch(len(rows), drop_remainder=True))
    batches = _Batches(filling, len(rows))
    elements = rows_of_process.map(batches.write).to_iter_dataset(options)
    return iter(elements.batch(len(rows), drop_remainder=True, batch_fn=batches.take))


class _Batches:
    """The arrays that are being filled, by the number of their batch."""

    def __init__(self, filling: Filling, size: int):
        self.filling = filling
        self.size = size
        self.lock = Lock()
        self.unfinished = {}

    def write(self, numbered: tuple[int, Any]) -> int:
        """Put an element into its place; its batch's number."""
        number, element = numbered
        batch, place = divmod(number, self.size)
        with self.lock:
            if batch not in self.unfinished:
                self.unfinished[batch] = self.filling.allocate(element, self.size)
            arrays = self.unfinished[batch]
        self.filling.fill(element, arrays, place)
        return batch

    def take(self, batches: Sequence[int]) -> Any:
        """Return the arrays that all of these elements are in."""
        with self.lock:
            return self.unfinished.pop(batches[0])


def _stream(source: Sequence[Any], seed: int, transform: Transform) -> grain.MapDataset:
    """Return a source in random order, again and again."""
    # Larger sources have a formula for their order, not a table.
    most_in_a_table = 2**14
    if len(source) > most_in_a_table:
        stream = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    else:
        order = _order(len(source), seed)
        stream = (
            grain.MapDataset.range(ENDLESS).seed(seed).map(lambda i: source[order(i)])
        )
    if isinstance(source, range):
        stream = stream.map(np.int32)
    return stream if transform is None else stream.random_map(transform)


def _order(length: int, seed: int) -> Callable[[int], int]:
    """Return the place in a source of each element of the stream, by a table for each epoch.

    grain's formula walks cycles of 2**16 places: of a source of 12 that takes milliseconds.
    """

    @lru_cache(maxsize=4)
    def table(epoch: int) -> np.ndarray:
        return np.random.default_rng((seed, epoch)).permutation(length)

    return lambda index: int(table(index // length)[index % length])
