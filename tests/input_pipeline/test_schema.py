"""Records and projections keep their promises; views and windows of them are records."""

import numpy as np
import pytest

from input_pipeline import pinhole
from input_pipeline.datasets.card import facts
from input_pipeline.datasets.records import from_bytes, to_bytes
from input_pipeline.schema import (
    Projected,
    projection_from_bytes,
    projection_to_bytes,
    validate,
)
from input_pipeline.selection import choose_times, choose_views, select


def changed(array: np.ndarray, place: tuple[int, ...], value: object) -> np.ndarray:
    copy = array.copy()
    copy[place] = value
    return copy


def test_a_good_record_passes(make_example):
    example = make_example()
    assert validate(example) is example
    latents = np.ones((3, 1, 4, 4, 48), np.float16)
    validate(example._replace(latents=latents, codec="wan22", unit=1.7))


@pytest.mark.parametrize(
    ("field", "break_it"),
    [
        ("fps", lambda e: np.nan),
        ("frames", lambda e: changed(e.frames, (0, 1), b"\x89PNG no jpeg")),
        ("timestamps", lambda e: e.timestamps[:, ::-1]),
        ("intrinsics", lambda e: e.intrinsics[:2]),
        ("world_to_camera", lambda e: changed(e.world_to_camera, (1, 1, 0, 3), np.inf)),
        ("latents", lambda e: np.zeros((2, 1, 4, 4, 48), np.float16)),
    ],
)
def test_a_broken_field_is_named(make_example, field, break_it):
    example = make_example()
    with pytest.raises(ValueError, match=rf"{field}: found .*, expected "):
        validate(example._replace(**{field: break_it(example)}))


def ring(count: int) -> np.ndarray:
    return pinhole.centers(pinhole.orbit(np.linspace(-60, 60, count), np.zeros(count)))


def test_the_source_comes_first_and_targets_in_any_order():
    drawn = [
        choose_views(np.random.default_rng(i), ring(6), 4, source=1) for i in range(400)
    ]
    assert all(len(set(views)) == 4 for views in drawn)
    assert {views[0] for views in drawn} == {1}
    for place in (1, 2, 3):
        assert {views[place] for views in drawn} == set(range(6)) - {1}
    again = choose_views(np.random.default_rng(7), ring(6), 4, source=1)
    np.testing.assert_array_equal(drawn[7], again)


def test_windows_fit_and_all_strides_and_starts_come_up():
    drawn = {
        tuple(choose_times(np.random.default_rng(i), 9, 3, strides=(1, 3, 5)))
        for i in range(300)
    }
    expected = {(s, s + 1, s + 2) for s in range(7)}
    expected |= {(s, s + 3, s + 6) for s in range(3)}
    assert drawn == expected  # a stride of 5 does not fit


def test_a_selection_is_a_record(make_example):
    example = make_example(v=4, t=6)
    part = validate(select(example, np.array([2, 0]), np.array([1, 3, 5])))
    assert part.frames.shape == (2, 3)
    assert part.frames[1, 2] == example.frames[0, 5]
    assert part.depth16[0, 1] == example.depth16[2, 3]
    assert part.depth16[1].tolist() == [b""] * 3  # as view 0 had none
    pose = example.world_to_camera[2, 3]
    np.testing.assert_array_equal(part.world_to_camera[0, 1], pose)
    np.testing.assert_allclose(part.timestamps, [[0, 0.2, 0.4]] * 2, atol=1e-6)


SHAPE = (3, 2, 4, 5, 6)  # v f h w c


def projected(seed: int = 0, *, filled: bool = True) -> Projected:
    random = np.random.default_rng(seed)
    latents, more = random.normal(size=(2, *SHAPE)).astype(np.float16)
    return Projected(
        source=2,
        world_to_camera=np.tile(np.eye(4, dtype=np.float32), (3, 2, 1, 1)),
        projection=latents,
        filled=more if filled else None,
        mask=random.integers(0, 2, SHAPE[:4]).astype(np.uint8),
        disparity=random.random(SHAPE[:4]).astype(np.float16),
        nothing=more[0],
    )


def with_projections(example, *files: bytes):
    latents = np.ones(SHAPE, np.float16)
    projections = np.array([*files, None], object)[:-1]
    return example._replace(latents=latents, codec="wan22", projections=projections)


@pytest.mark.parametrize("filled", [True, False])
def test_every_array_comes_back(filled):
    given = projected(filled=filled)
    file = projection_to_bytes(given)
    assert file == projection_to_bytes(projected(filled=filled))
    found = projection_from_bytes(file)
    for name, x, y in zip(given._fields, given, found, strict=True):
        if x is None or name == "source":
            assert x == y
        else:
            assert np.asarray(x).dtype == np.asarray(y).dtype
            np.testing.assert_array_equal(x, y, err_msg=name)


def test_files_that_are_damaged_or_do_not_fit_are_refused():
    file = projection_to_bytes(projected())
    with pytest.raises(ValueError, match="expected a whole file"):
        projection_from_bytes(file[:-1])


def test_records_keep_them(make_example):
    files = [projection_to_bytes(projected(i, filled=False)) for i in range(2)]
    example = validate(with_projections(make_example(), *files))
    assert from_bytes(to_bytes(example)).projections.tolist() == files
    told = facts(example)
    assert (told["projections"], told["filled"]) == (2, False)
    assert from_bytes(to_bytes(make_example())).projections.shape == (0,)
    file = projection_to_bytes(projected())
    assert facts(with_projections(make_example(), file))["filled"]
