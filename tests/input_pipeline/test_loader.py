"""The order of batches is a function of (seed, step), whatever the hosts, threads and restarts."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from input_pipeline import make_loader
from input_pipeline.loader import Filling, Mixture

SCENES = range(2**30)


def batches(
    count: int,
    source: Sequence[Any] | Mixture = SCENES,
    *,
    seed: int = 3,
    batch_size: int = 6,
    **options,
) -> list:
    loader = make_loader(source, seed=seed, batch_size=batch_size, **options)
    return list(itertools.islice(loader, count))


def test_the_seed_decides_the_order():
    again = np.stack(batches(4))
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, np.stack(batches(4, threads=1)))
    assert not np.isin(again, np.stack(batches(4, seed=4))).any()


def test_resuming_is_starting_at_a_step_and_batches_are_cuts_of_one_stream():
    later = np.stack(batches(2, start_step=3))
    np.testing.assert_array_equal(np.stack(batches(5))[3:], later)
    single = np.concatenate(batches(6, batch_size=1))
    np.testing.assert_array_equal(single, batches(1)[0])


def test_random_transforms_follow_the_element_not_the_host():
    def noisy(scene, rng):
        return {"scene": scene, "noise": rng.uniform()}

    whole = batches(3, transform=noisy)
    shares = [0, 3, 5], [1, 2, 4]
    together = [batches(3, transform=noisy, rows=rows) for rows in shares]
    late = batches(1, transform=noisy, start_step=2)[0]
    for field in ("scene", "noise"):
        for rows, part in zip(shares, together, strict=True):
            for batch, mine in zip(whole, part, strict=True):
                np.testing.assert_array_equal(mine[field], batch[field][rows])
        np.testing.assert_array_equal(late[field], whole[2][field])
    assert len({x for batch in whole for x in batch["noise"]}) == 18


def test_a_mixture_keeps_its_shares_and_the_order_of_each_source():
    mixture = Mixture((range(100), range(100, 200), range(200, 300)), (1, 2, 3))
    stream = np.concatenate(batches(50, mixture))
    counts = np.cumsum(stream[:, None] // 100 == np.arange(3)[None], axis=0)
    due = np.arange(1, 301)[:, None] * np.array([[1, 2, 3]]) / 6
    assert np.abs(counts - due).max() < 2
    first = np.concatenate(batches(9, range(100)))[: (stream < 100).sum()]
    np.testing.assert_array_equal(stream[stream < 100], first)  # as without the others
    assert len(set(stream[stream >= 200][:100])) == 100  # an epoch is a permutation
    later = np.concatenate(batches(20, mixture, start_step=30))
    np.testing.assert_array_equal(later, stream[180:])
    hosts = range(3), range(3, 6)
    halves = [np.stack(batches(50, mixture, rows=rows)) for rows in hosts]
    np.testing.assert_array_equal(np.concatenate(halves, 1).reshape(-1), stream)


def test_batches_of_one_source_each_have_its_shape():
    mixture = Mixture((range(6), range(6, 18)), (6, 12), whole_batches=True)

    def shaped(scene, rng):
        return np.full((2, 3) if scene < 6 else (3, 2), scene)

    found = batches(9, mixture, transform=shaped)
    assert {batch.shape for batch in found} == {(6, 2, 3), (6, 3, 2)}
    seen = np.concatenate([batch[:, 0, 0] for batch in found])
    np.testing.assert_array_equal(np.bincount(seen), np.full(18, 3))  # three epochs
    late = batches(4, mixture, transform=shaped, start_step=5, rows=range(2, 6))
    for batch, mine in zip(found[5:], late, strict=True):
        np.testing.assert_array_equal(mine, batch[2:])


def test_batches_that_are_filled_in_place_are_those_that_are_stacked():
    def draw(number, rng):
        return np.array([number, rng.integers(1000)])

    def allocate(element, size):
        return np.full((size, *element.shape), -1)

    def fill(element, arrays, place):
        time.sleep(element[1] % 7 / 2000)  # out of order
        arrays[place] = element

    words = {"source": range(20), "transform": draw, "batch_size": 6, "rows": [1, 4, 5]}
    filling = Filling(allocate, fill)
    filled = batches(9, start_step=2, **words, filling=filling, threads=7)
    np.testing.assert_array_equal(filled, batches(9, start_step=2, **words))
