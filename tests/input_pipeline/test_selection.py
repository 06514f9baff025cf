"""Views and windows: what is drawn keeps its promises, and all of it comes up."""

import numpy as np

from input_pipeline import cameras
from input_pipeline.schema import validate
from input_pipeline.selection import choose_times, choose_views, select


def ring(count: int) -> np.ndarray:
    return cameras.centers(cameras.orbit(np.linspace(-60, 60, count), np.zeros(count)))


def test_the_source_comes_first_and_targets_in_any_order():
    drawn = [choose_views(np.random.default_rng(i), ring(6), 4, sources=[1, 2]) for i in range(400)]
    assert all(len(set(views)) == 4 for views in drawn)
    assert {views[0] for views in drawn} == {1, 2}
    for place in (1, 2, 3):
        assert {views[place] for views in drawn} == set(range(6))
    again = choose_views(np.random.default_rng(7), ring(6), 4, sources=[1, 2])
    np.testing.assert_array_equal(drawn[7], again)


def test_windows_fit_and_all_strides_and_starts_come_up():
    drawn = {
        tuple(choose_times(np.random.default_rng(i), 9, 3, strides=(1, 3, 5))) for i in range(300)
    }
    expected = {(s, s + 1, s + 2) for s in range(7)} | {(s, s + 3, s + 6) for s in range(3)}
    assert drawn == expected  # a stride of 5 does not fit


def test_a_selection_is_a_record(make_example):
    example = make_example(v=4, t=6)
    part = validate(select(example, np.array([2, 0]), np.array([1, 3, 5])))
    assert part.frames.shape == (2, 3)
    assert part.frames[1, 2] == example.frames[0, 5]
    assert part.depth16[0, 1] == example.depth16[2, 3]
    assert part.depth16[1].tolist() == [b""] * 3  # as view 0 had none
    np.testing.assert_array_equal(part.world_to_camera[0, 1], example.world_to_camera[2, 3])
    np.testing.assert_allclose(part.timestamps, [[0, 0.2, 0.4]] * 2, atol=1e-6)
