"""Numbers come back from their code, read one by one as viewer/unpack.js does."""

import numpy as np
import pytest

from full4d_jax.scene.entropy_code import (
    ABOVE,
    BESIDE,
    CONTEXT_CLASSES,
    DIRECT_TOKENS,
    FREQUENCY_BITS,
    FREQUENCY_TOTAL,
    LOWEST_STATE,
    SIGNED,
    SINGLE,
    STATE_LANES,
    WINDOWS,
    Coded,
    code_columns,
    interleave,
)


def decoded(coded: Coded, count: int) -> tuple[list[list[int]], int]:
    """The columns, and how many words were read."""
    states, words = interleave(coded.starts, coded.frequencies)
    states = [int(x) for x in states]
    unread = iter(words.tolist())
    extras = iter(coded.extras.tolist())
    tables = coded.tables.astype(int)
    columns = []
    beside, earlier = [0] * count, [0] * count
    step = 0
    for window, kind, tokens in coded.described:
        rows = 1 if kind == SINGLE else CONTEXT_CLASSES
        low, high = tables[: 2 * rows * tokens].reshape(2, rows, tokens)
        tables = tables[2 * rows * tokens :]
        table = low + 256 * high
        numbers = []
        for i in range(count):
            last = numbers[-4:]
            size = {
                SINGLE: 0,
                ABOVE: min(sum(map(abs, last)).bit_length(), CONTEXT_CLASSES - 1),
                BESIDE: min((abs(beside[i]) + abs(earlier[i])).bit_length(), CONTEXT_CLASSES - 1),
                SIGNED: min(abs(sum(last)).bit_length(), CONTEXT_CLASSES // 2),
            }[kind]
            if kind == SIGNED:
                size = CONTEXT_CLASSES // 2 + int(np.sign(sum(last))) * size
            ends = np.cumsum(table[size])
            state = states[step % STATE_LANES]
            place = state % FREQUENCY_TOTAL
            token = int((ends <= place).sum())
            frequency = int(table[size, token])
            state = frequency * (state >> FREQUENCY_BITS) + place - (int(ends[token]) - frequency)
            states[step % STATE_LANES] = (
                state if state >= LOWEST_STATE else state * LOWEST_STATE + next(unread)
            )
            step += 1
            below = next(extras)
            code = token
            if token >= DIRECT_TOKENS:
                code = (4 + (token - DIRECT_TOKENS) % 4 << (token - DIRECT_TOKENS) // 4 + 3) + below
            numbers.append(code >> 1 ^ -(code & 1))
        beside, earlier = numbers, beside
        values = []
        for number in numbers:
            last = values[len(values) - window :] if window <= len(values) else values
            values.append(number + ((sum(last) + window // 2) // window if window else 0))
        columns.append(values)
    assert next(unread, None) is None
    assert set(states) == {LOWEST_STATE}
    return columns, len(words)


@pytest.mark.parametrize("count", [1, 3, 700])
def test_columns_come_back(count):
    rng = np.random.default_rng(count)
    sizes = np.exp(rng.normal(0, 1, count))
    columns = np.column_stack(
        [
            np.zeros(count),
            rng.integers(-3, 4, count).cumsum(),
            rng.normal(0, 3, count).cumsum() + rng.normal(0, 5, count),
            rng.normal(0, 2, count).cumsum() + rng.normal(0, 12, count),
            rng.normal(0, 40, count) * sizes,
            rng.normal(0, 60, count) * sizes,
            rng.integers(-(2**30), 2**30, count),
            np.where(np.arange(count) % 9 == 0, 2**29, 0),
        ]
    ).astype(np.int64)
    coded = code_columns(columns)
    back, _ = decoded(coded, count)
    np.testing.assert_array_equal(np.array(back).T, columns)
    if count == 700:
        assert {kind for _, kind, _ in coded.described} > {SINGLE}
        assert {window for window, _, _ in coded.described} == set(WINDOWS)


def test_tokens_take_hardly_more_bits_than_their_frequencies_ask_for():
    numbers = np.random.default_rng(0).geometric(0.3, 50_000).astype(np.int64)
    _, words = decoded(code_columns(numbers[:, None]), len(numbers))
    shares = np.bincount(numbers) / len(numbers)
    entropy = -(shares * np.log2(np.maximum(shares, 1e-9))).sum() * len(numbers) / 16
    assert words < 1.01 * entropy
