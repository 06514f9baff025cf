"""Decoded pictures, their intrinsics and depth against OpenCV's projection and exact ramps."""

import cv2
import numpy as np
import pytest

from input_pipeline import cameras, transforms


def test_depth_survives_to_half_precision():
    depth = np.geomspace(1e-2, 1e4, 600).reshape(20, 30)
    depth[3, 4] = 0
    decoded = transforms.decode_depth(transforms.encode_depth(depth))
    assert decoded.dtype == np.float32
    assert decoded[3, 4] == 0
    np.testing.assert_allclose(decoded, depth, rtol=2**-11)


def test_decode_keeps_pictures_and_knows_what_has_no_depth(make_example):
    example = make_example()
    clip = transforms.decode(example, height=24, width=32)
    x = np.arange(32) / 32
    red = 127.5 + 100 * np.sin(3 * x + 2)  # of view 2
    assert np.abs(clip.frames[2, 1, ..., 0] - red).max() < 12
    assert np.abs(clip.frames[2, 1, ..., 0] - red).mean() < 2
    assert not clip.depth[0].any()
    assert (clip.depth[2] == 4).all()
    np.testing.assert_array_equal(clip.intrinsics, example.intrinsics)


def test_jpeg_files_are_decoded_as_opencv_does():
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    file = transforms.encode_jpeg(frame)
    expected = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(transforms.decode_jpeg(file), expected)


@pytest.mark.parametrize(("height", "width"), [(10, 30), (90, 100)])
def test_cover_moves_intrinsics_with_the_pixels(height, width):
    """A picture that shows each pixel's ray still shows it after scaling and cropping."""
    intrinsics = cameras.intrinsics_from_fov(70.0, 48, 64)

    def rays(rows: int, columns: int, matrix: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[:rows, :columns] + 0.5
        return (np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(matrix).T).astype(np.float32)

    picture, moved = transforms.cover(rays(48, 64, intrinsics), intrinsics, height, width)
    assert picture.shape == (height, width, 3)
    inner = np.s_[2:-2, 2:-2]  # enlarging repeats the border
    np.testing.assert_allclose(picture[inner], rays(height, width, moved)[inner], atol=2e-3)


def test_cover_never_averages_depth():
    depth = np.where(np.arange(40) < 21, 1.0, 9.0).astype(np.float32) * np.ones((30, 1), "f4")
    small, _ = transforms.cover(depth, np.eye(3), 11, 13)
    assert set(np.unique(small)) == {1.0, 9.0}


def test_to_source_puts_the_source_at_the_origin_with_median_depth_one(make_example):
    clip = transforms.decode(make_example(), height=24, width=32)
    order = [2, 0, 1]
    depth, poses = transforms.to_source(clip.depth[2], clip.world_to_camera[order])
    np.testing.assert_allclose(poses[0, 0], np.eye(4), atol=1e-6)
    assert np.median(depth[0]) == 1
    # Its depth was 4 units, so distances between cameras shrink to a quarter.
    before = cameras.centers(clip.world_to_camera[order, 0])
    after = cameras.centers(poses[:, 0])
    np.testing.assert_allclose(
        np.linalg.norm(after[1] - after[0]), np.linalg.norm(before[1] - before[0]) / 4, rtol=1e-5
    )
