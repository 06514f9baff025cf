"""Encoded projections as files, in records, and with clips that are cut."""

import numpy as np
import pytest

from input_pipeline.datasets.card import facts
from input_pipeline.datasets.records import from_bytes, to_bytes
from input_pipeline.schema import Projected, projection_from_bytes, projection_to_bytes, validate

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
    return example._replace(
        latents=latents, codec="wan22", projections=np.array([*files, None], object)[:-1]
    )


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
    assert facts(with_projections(make_example(), projection_to_bytes(projected())))["filled"]
