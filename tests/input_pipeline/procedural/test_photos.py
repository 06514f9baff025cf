"""Crops of photos: squares of any part, the same for one seed."""

import numpy as np
import pytest

from input_pipeline.procedural.looks import read_crops


def test_crops_are_squares_and_another_seed_draws_others(tmp_path, write_pictures):
    write_pictures([tmp_path / f"{i}.png" for i in range(3)], size=(80, 120))
    crops = read_crops(tmp_path, seed=1, count=7, side=16)
    assert crops.shape == (7, 16, 16, 3)
    assert crops.dtype == np.float32
    assert 0 <= crops.min() < crops.max() <= 1
    np.testing.assert_array_equal(crops, read_crops(tmp_path, seed=1, count=7, side=16))
    assert not np.array_equal(crops, read_crops(tmp_path, seed=2, count=7, side=16))
    assert len(np.unique(crops.round(4).reshape(7, -1), axis=0)) == 7


def test_photos_smaller_than_a_crop_are_taken_whole(tmp_path, write_pictures):
    write_pictures([tmp_path / "small.png"], size=(20, 20))
    assert read_crops(tmp_path, seed=0, count=2, side=8).shape == (2, 8, 8, 3)


def test_a_folder_without_photos_is_named(tmp_path):
    with pytest.raises(ValueError, match="found no picture"):
        read_crops(tmp_path, seed=0)
