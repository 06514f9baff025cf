"""Columns of whole numbers in about as many bits as their frequencies ask for, by rANS.

A number is zigzag coded and cut into a token, which has a frequency in a table, and the bits
below: codes below `DIRECT_TOKENS` are tokens; of others the token gives the number of bits and the
two below the highest. A column has its numbers themselves, or what they differ by from the mean of
those before (`WINDOWS`). It has one table, or `CONTEXT_CLASSES` of them that take turns by numbers
that are known by then: the sum of the sizes of the four before it in its column (`ABOVE`), or of
the two in the columns before (`BESIDE`), or the sum of the four with its sign (`SIGNED`).

rANS (Duda 2013) has `STATE_LANES` states that take turns, so that numpy codes many tokens at once.
States are of 32 bits and give 16 bits at a time, which stand in the order in which they are read.
`viewer/unpack.js` is the inverse.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt16, UInt32, UInt64
from numpy import ndarray

WINDOWS = (0, 1, 4, 8)  # numbers whose mean the next is compared with; 0 for none
SINGLE, ABOVE, BESIDE, SIGNED = range(4)  # kinds of context
CONTEXT_CLASSES = 9
DIRECT_TOKENS = 32  # codes that are tokens of their own
FREQUENCY_BITS = 12
FREQUENCY_TOTAL = 2**FREQUENCY_BITS
STATE_LANES = 256
LOWEST_STATE = 2**16


class Coded(NamedTuple):
    """A part's columns, ready for `interleave`.

    Attributes:
      described: of each column its window, its kind of context, and its tokens.
      tables: of each column the low bytes of frequencies, then the high ones.
      starts: of each token, the frequencies before its own.
      frequencies: of each token.
      extras: bits below the tokens, as numbers.
      lengths: of these, in bits.
    """

    described: list[tuple[int, int, int]]
    tables: UInt8[ndarray, " n"]
    starts: UInt64[ndarray, " s"]
    frequencies: UInt64[ndarray, " s"]
    extras: Int[ndarray, " s"]
    lengths: Int[ndarray, " s"]


def code_columns(columns: Int[ndarray, "g c"]) -> Coded:
    """Return columns, each with the window and the context that take fewest bits."""
    described = []
    tables = []
    starts = []
    frequencies = []
    extras = []
    lengths = []
    last = np.zeros(len(columns), np.int64)
    earlier = last
    for column in columns.T:
        sizes_before = np.abs(last) + np.abs(earlier)
        choices = [
            (_cost(numbers, contexts), window, kind)
            for window in WINDOWS
            for numbers in [column - _mean_before(column, window)]
            for kind, contexts in enumerate(_contexts(numbers, sizes_before))
        ]
        _, window, kind = min(choices)
        numbers = column - _mean_before(column, window)
        tokens, extra, length = tokens_and_bits(numbers)
        contexts = _contexts(numbers, sizes_before)[kind]
        count = int(tokens.max(initial=0)) + 1
        table = _table(tokens, contexts, 1 if kind == SINGLE else CONTEXT_CLASSES, count)
        before = np.cumsum(table, 1) - table
        described.append((window, kind, count))
        tables.append(table.ravel().astype("<u2").view(np.uint8).reshape(-1, 2).T.ravel())
        starts.append(before[contexts, tokens])
        frequencies.append(table[contexts, tokens])
        extras.append(extra)
        lengths.append(length)
        earlier = last
        last = numbers
    return Coded(
        described,
        np.concatenate(tables),
        np.concatenate(starts).astype(np.uint64),
        np.concatenate(frequencies).astype(np.uint64),
        np.concatenate(extras),
        np.concatenate(lengths),
    )


def tokens_and_bits(
    numbers: Int[ndarray, "g"],
) -> tuple[Int[ndarray, "g"], Int[ndarray, "g"], Int[ndarray, "g"]]:
    """Return tokens, the bits below them, and how many these are."""
    codes = (numbers << 1) ^ (numbers >> 63)
    bits = np.maximum(_bits_of(codes), 6)
    below = bits - 3
    tokens = DIRECT_TOKENS + 4 * (bits - 6) + ((codes >> below) & 3)
    is_direct = codes < DIRECT_TOKENS
    length = np.where(is_direct, 0, below)
    return np.where(is_direct, codes, tokens), codes & ((1 << length) - 1), length


def interleave(
    starts: UInt64[ndarray, " s"], frequencies: UInt64[ndarray, " s"]
) -> tuple[UInt32[ndarray, " lanes"], UInt16[ndarray, " n"]]:
    """Return the states from which a decoder starts, and the words that it reads."""
    padding = -len(starts) % STATE_LANES
    starts = np.append(starts, np.zeros(padding, np.uint64)).reshape(-1, STATE_LANES)
    frequencies = np.append(frequencies, np.full(padding, FREQUENCY_TOTAL, np.uint64)).reshape(
        -1, STATE_LANES
    )
    states = np.full(STATE_LANES, LOWEST_STATE, np.uint64)
    words = []
    for start, frequency in zip(starts[::-1], frequencies[::-1], strict=True):
        is_full = states >= frequency << np.uint64(32 - FREQUENCY_BITS)
        words.append((states[is_full] & np.uint64(LOWEST_STATE - 1)).astype(np.uint16))
        states = np.where(is_full, states >> np.uint64(16), states)
        whole, rest = np.divmod(states, frequency)
        states = (whole << np.uint64(FREQUENCY_BITS)) + rest + start
    return states.astype(np.uint32), np.concatenate(words[::-1] or [np.zeros(0, np.uint16)])


def _contexts(
    numbers: Int[ndarray, "g"], sizes_before: Int[ndarray, "g"]
) -> list[Int[ndarray, "g"]]:
    """Return the table of each number, by kind of context."""
    total = _sum_before(numbers, 4)
    middle = CONTEXT_CLASSES // 2
    return [
        np.zeros(len(numbers), np.int64),
        np.minimum(_bits_of(_sum_before(np.abs(numbers), 4)), CONTEXT_CLASSES - 1),
        np.minimum(_bits_of(sizes_before), CONTEXT_CLASSES - 1),
        middle + np.sign(total) * np.minimum(_bits_of(np.abs(total)), middle),
    ]


def _mean_before(numbers: Int[ndarray, "g"], window: int) -> Int[ndarray, "g"]:
    """Return the mean of as many numbers before each, rounded; those before the first are 0."""
    return (_sum_before(numbers, window) + window // 2) // max(window, 1)


def _sum_before(numbers: Int[ndarray, "g"], window: int) -> Int[ndarray, "g"]:
    """Return the sum of as many numbers before each; those before the first are 0."""
    sums = np.cumsum(np.append(np.zeros(window + 1, np.int64), numbers))
    return (sums[window:] - sums[: len(sums) - window])[: len(numbers)]


def _cost(numbers: Int[ndarray, "g"], contexts: Int[ndarray, "g"]) -> float:
    """Return about how many bytes numbers and their tables take."""
    tokens, _, lengths = tokens_and_bits(numbers)
    counts = np.bincount(contexts * 256 + tokens)
    totals = np.bincount(contexts)
    bits = (totals * np.log2(np.maximum(totals, 1))).sum()
    bits -= (counts * np.log2(np.maximum(counts, 1))).sum()
    entry_bytes = 1.5  # of a frequency in a table, about
    return (bits + lengths.sum()) / 8 + entry_bytes * np.count_nonzero(counts)


def _table(
    tokens: Int[ndarray, "g"], contexts: Int[ndarray, "g"], rows: int, count: int
) -> Int[ndarray, "rows count"]:
    """Return frequencies; those of a row sum up to `FREQUENCY_TOTAL`, or are none."""
    counts = np.bincount(contexts * count + tokens, minlength=rows * count).reshape(rows, count)
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    table = np.where(counts > 0, np.maximum(counts * FREQUENCY_TOTAL // totals, 1), 0)
    for row in table:  # what rounding leaves belongs to the most frequent
        while row.any() and row.sum() != FREQUENCY_TOTAL:
            most = row.argmax()
            row[most] = max(1, row[most] + FREQUENCY_TOTAL - row.sum())
    return table


def _bits_of(numbers: Int[ndarray, "g"]) -> Int[ndarray, "g"]:
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)
