"""A record that breaks a promise is refused with the field's name."""

import numpy as np
import pytest

from input_pipeline.schema import validate


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
