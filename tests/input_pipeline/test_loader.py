"""The order of batches is a function of (seed, step), whatever the hosts, threads and restarts."""

import itertools
import tracemalloc

import numpy as np
import pytest

from input_pipeline import make_loader, transforms

SCENES = range(2**30)


def batches(count: int, source=SCENES, *, seed: int = 3, batch_size: int = 6, **options) -> list:
    loader = make_loader(source, seed=seed, batch_size=batch_size, **options)
    return list(itertools.islice(loader, count))


def test_the_seed_decides_the_order():
    again = np.stack(batches(4))
    assert again.dtype == np.int32
    np.testing.assert_array_equal(again, np.stack(batches(4, threads=1)))
    assert not np.isin(again, np.stack(batches(4, seed=4))).any()


def test_batches_of_one_are_the_same_stream():
    single = np.concatenate(batches(6, batch_size=1))
    np.testing.assert_array_equal(single, batches(1)[0])


def test_resuming_is_starting_at_a_step():
    np.testing.assert_array_equal(np.stack(batches(5))[3:], np.stack(batches(2, start_step=3)))


def test_an_epoch_is_a_permutation_and_the_next_another_one():
    first, second = np.concatenate(batches(8, range(100, 124))).reshape(2, 24)
    assert set(first) == set(second) == set(range(100, 124))
    assert (first != second).any()


@pytest.mark.parametrize("hosts", [2, 3])
def test_hosts_share_the_same_global_batches(hosts):
    parts = [batches(4, process_index=p, process_count=hosts) for p in range(hosts)]
    together = np.stack(parts, -1).reshape(4, 6)  # element k of the stream is host k % hosts'
    np.testing.assert_array_equal(together, np.stack(batches(4)))


def test_random_transforms_follow_the_element_not_the_host():
    def noisy(scene, rng):
        return {"scene": scene, "noise": rng.uniform()}

    whole = batches(3, transform=noisy)
    parts = [batches(3, transform=noisy, process_index=p, process_count=2) for p in range(2)]
    late = batches(1, transform=noisy, start_step=2)[0]
    for field in ("scene", "noise"):
        together = np.stack([[batch[field] for batch in part] for part in parts], -1).reshape(3, 6)
        np.testing.assert_array_equal(together, [batch[field] for batch in whole])
        np.testing.assert_array_equal(late[field], whole[2][field])
    assert len({x for batch in whole for x in batch["noise"]}) == 18


def test_shuffling_a_billion_scenes_needs_no_table():
    tracemalloc.start()
    batches(2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6


def test_records_are_decoded_and_stacked(make_example):
    records = [make_example(number) for number in range(4)]

    def load(example, rng):
        return transforms.decode(example, height=12, width=16)

    (batch,) = batches(1, records, batch_size=4, transform=load)
    assert isinstance(batch, transforms.Clip)
    assert batch.frames.shape == (4, 3, 2, 12, 16, 3)
    expected = {transforms.decode(e, height=12, width=16).frames.tobytes() for e in records}
    assert {frames.tobytes() for frames in batch.frames} == expected


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="expected at least one"):
        make_loader([], seed=0, batch_size=1)
    with pytest.raises(ValueError, match="batch_size: found 6, expected a multiple of 4"):
        make_loader(SCENES, seed=0, batch_size=6, process_count=4)
