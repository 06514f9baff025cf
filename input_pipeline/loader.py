"""Batches in an order that is a pure function of (seed, index), whatever the number of hosts.

Element i of the endless shuffled stream, and so batch n, the elements from n * batch_size on, is
the same for every number of hosts; each host reads its places in the batch. Resuming is starting
at a step: there is no other state.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from sys import getrefcount
from threading import Lock
from typing import Any, NamedTuple

import grain
import numpy as np

ENDLESS = 2**62
# Batches last handed out whose memory may be free: a consumer holds one or two.


class Mixture(NamedTuple):
    """Several sources, each of them shuffled and repeated on its own."""

    sources: tuple[Sequence[Any], ...]
    weights: tuple[float, ...]
    """Shares of the stream, closely kept from its first elements on."""
    whole_batches: bool = False
    """Whether a batch comes from one source only; sources may then differ in shape."""


class Filling(NamedTuple):
    """Functions that write elements into the arrays of their batch, which saves a copy.

    A tuple of arrays without references becomes a later batch: what `fill` does not
    write is what an earlier one wrote there.
    """

    allocate: Callable[[Any, int], Any]
    """(element, n): arrays for n elements like this one; in a tuple, to be used again."""
    fill: Callable[[Any, Any, int], None]
    """(element, arrays, place): writes the element there; other threads write other places."""


def make_loader(
    source: Sequence[Any] | Mixture,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    transform: Callable[[Any, np.random.Generator], Any] | None = None,
    filling: Filling | None = None,
    rows: Sequence[int] | None = None,
    threads: int = 4,
) -> Iterator[Any]:
    """Shuffled batches without end, from batch number `start_step` on.

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
      rows: the places in each global batch that this host reads; left out, all.
      threads: elements made at once; as many again wait.

    Returns:
      An iterator of this host's part of each batch, `len(rows)` elements.

    Raises:
      ValueError: a source is empty, weights are not those of the sources, or rows are not places
        of the batch.
    """
    mixture = source if isinstance(source, Mixture) else Mixture((source,), (1.0,))
    rows = range(batch_size) if rows is None else rows
    _check(mixture, batch_size, rows)
    streams = [
        _stream(part, (seed + number) % 2**32, transform)
        for number, part in enumerate(mixture.sources)
    ]
    # Of each turn of the mixture, the source and how many turns it had before.
    turns: Any = grain.MapDataset.mix(
        [
            grain.MapDataset.range(ENDLESS).map(lambda turn, n=n: (n, turn))
            for n in range(len(streams))
        ],
        list(mixture.weights),
    )
    length = batch_size if mixture.whole_batches else 1  # of a turn

    def element(number: int) -> tuple[int, Any]:
        """Return an element of this host's stream and its place in the host's part of a batch."""
        step, place = divmod(number, len(rows))
        turn, rest = divmod(step * batch_size + rows[place], length)
        part, before = turns[turn]
        return number, streams[part][before * length + rest]

    rows_of_process = grain.MapDataset.range(start_step * len(rows), ENDLESS).map(element)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    if filling is None:
        elements = rows_of_process.map(lambda pair: pair[1]).to_iter_dataset(options)
        return iter(elements.batch(len(rows), drop_remainder=True))
    batches = _Batches(filling, len(rows))
    elements = rows_of_process.map(batches.write).to_iter_dataset(options)
    return iter(elements.batch(len(rows), drop_remainder=True, batch_fn=batches.take))


class _Batches:
    """The arrays that are being filled, by the number of their batch.

    The memory of a batch without references is used again: fresh memory takes time, for
    the system clears it page by page.
    """

    def __init__(self, filling: Filling, size: int):
        most_handed_out = 2
        self.filling = filling
        self.size = size
        self.lock = Lock()
        self.unfinished = {}
        self.handed_out = deque(maxlen=most_handed_out)

    def write(self, numbered: tuple[int, Any]) -> int:
        """Put an element into its place; its batch's number."""
        number, element = numbered
        batch, place = divmod(number, self.size)
        with self.lock:
            if batch not in self.unfinished:
                self.unfinished[batch] = self._memory(self.filling.allocate(element, self.size))
            arrays = self.unfinished[batch]
        self.filling.fill(element, arrays, place)
        return batch

    def take(self, batches: Sequence[int]) -> Any:
        """Return the arrays that all of these elements are in."""
        with self.lock:
            self.handed_out.append(self.unfinished.pop(batches[0]))
            return self.handed_out[-1]

    def _memory(self, fresh: Any) -> Any:
        """Return the fresh arrays, or recycle earlier ones without references."""
        nobody = (np.empty(0),)
        for _ in range(len(self.handed_out) if _form(fresh) else 0):
            old = self.handed_out.popleft()
            if _form(old) == _form(fresh) and _holders(old) == _holders(nobody):
                return old
            self.handed_out.append(old)
        return fresh


def _form(batch: Any) -> list | None:
    """Shapes and types of a tuple of arrays or None that own their memory; None for all else."""
    if not isinstance(batch, tuple):
        return None
    arrays = [array for array in batch if array is not None]
    if not all(isinstance(array, np.ndarray) and array.flags.owndata for array in arrays):
        return None
    return [None if array is None else (array.shape, array.dtype) for array in batch]


def _holders(batch: tuple) -> tuple[int, int]:
    """Count the references to the tuple and, at most, to one of its arrays.

    Views, memoryviews and arrays of other libraries on the same memory refer to the array.
    """
    arrays = [array for array in batch if array is not None]
    return getrefcount(batch), max((getrefcount(array) for array in arrays), default=0)


def _stream(
    source: Sequence[Any],
    seed: int,
    transform: Callable[[Any, np.random.Generator], Any] | None,
) -> grain.MapDataset:
    """Return a source in random order, again and again."""
    most_in_a_table = 2**14  # elements; of larger sources the order is a formula, without a table
    if len(source) > most_in_a_table:
        stream = grain.MapDataset.source(source).seed(seed).shuffle().repeat()
    else:
        order = _order(len(source), seed)
        stream = grain.MapDataset.range(ENDLESS).seed(seed).map(lambda i: source[order(i)])
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


def _check(mixture: Mixture, batch_size: int, rows: Sequence[int]) -> None:
    if not (mixture.sources and all(len(source) for source in mixture.sources)):
        raise ValueError("loader source: found no elements, expected at least one")
    fits = len(mixture.weights) == len(mixture.sources)
    if not (fits and all(0 < weight < np.inf for weight in mixture.weights)):
        expected = f"{len(mixture.sources)} numbers above 0"
        raise ValueError(f"weights: found {mixture.weights}, expected {expected}")
    if not (len(rows) and all(0 <= row < batch_size for row in rows)):
        raise ValueError(f"rows: found {list(rows)}, expected places in a batch of {batch_size}")
