"""Decoded pictures, videos, intrinsics and depth against OpenCV, ffmpeg and exact ramps."""

import io

import av
import cv2
import numpy as np
import pytest

from input_pipeline import h264, pinhole, transforms
from input_pipeline.datasets.records import from_bytes, to_bytes
from input_pipeline.schema import validate
from input_pipeline.selection import select
from input_pipeline.transforms import decode_frame, decode_into, encode_view


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
    intrinsics = pinhole.intrinsics_from_fov(70.0, 48, 64)

    def rays(rows: int, columns: int, matrix: np.ndarray) -> np.ndarray:
        y, x = np.mgrid[:rows, :columns] + 0.5
        rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(matrix).T
        return rays.astype(np.float32)

    shown = rays(48, 64, intrinsics)
    picture, moved = transforms.cover(shown, intrinsics, height, width)
    assert picture.shape == (height, width, 3)
    inner = np.s_[2:-2, 2:-2]  # enlarging repeats the border
    expected = rays(height, width, moved)
    np.testing.assert_allclose(picture[inner], expected[inner], atol=2e-3)


def test_cover_never_averages_depth():
    row = np.where(np.arange(40) < 21, 1.0, 9.0).astype(np.float32)
    depth = row * np.ones((30, 1), "f4")
    small, _ = transforms.cover(depth, np.eye(3), 11, 13)
    assert set(np.unique(small)) == {1.0, 9.0}


def test_to_source_puts_the_source_at_the_origin_with_median_depth_one(make_example):
    clip = transforms.decode(make_example(), height=24, width=32)
    order = [2, 0, 1]
    depth, poses = transforms.to_source(clip.depth[2], clip.world_to_camera[order])
    np.testing.assert_allclose(poses[0, 0], np.eye(4), atol=1e-6)
    assert np.median(depth[0]) == 1
    # Its depth was 4 units, so distances between cameras shrink to a quarter.
    before = pinhole.centers(clip.world_to_camera[order, 0])
    after = pinhole.centers(poses[:, 0])
    apart = [np.linalg.norm(place[1] - place[0]) for place in (before, after)]
    np.testing.assert_allclose(apart[1], apart[0] / 4, rtol=1e-5)


HEIGHT, WIDTH, LENGTH = 48, 80, 21


def picture(number: int) -> np.ndarray:
    """Smooth stripes that wander, and a bright square whose place is the number."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin((x + 2 * number) / 9), np.cos(y / 7 - number / 5)]
    waves.append(np.sin((x + y) / 11))
    # Films halve their resolution.
    colors = 0.8 * waves[0][..., None] + 0.2 * np.stack(waves, -1)
    shown = np.round(110 + 70 * colors).astype(np.uint8)
    row, column = divmod(number, 7)
    shown[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 250
    return shown


def psnr(found, expected):
    return 10 * np.log10(255**2 / np.mean((np.float64(found) - expected) ** 2))


def number_of(frame: np.ndarray) -> int:
    """Number of the square's place, the brightest of all."""
    places = [
        frame[8 * (i // 7) : 8 * (i // 7) + 8, 8 * (i % 7) : 8 * (i % 7) + 8]
        for i in range(21)
    ]
    return int(np.argmax([place.mean() for place in places]))


@pytest.fixture(scope="module")
def shown():
    return np.stack([picture(number) for number in range(LENGTH)])


@pytest.fixture(scope="module")
def film(shown):
    return h264.encode_stream(shown)


@pytest.fixture
def clip(make_example, film):
    """Three views of the same video, the second of them JPEG files."""
    example = make_example(v=3, t=LENGTH)
    files = encode_view([picture(n) for n in range(LENGTH)], film=False)
    frames = np.stack([film, files, film])
    return example._replace(frames=frames)


def test_a_film_holds_every_picture_in_order_above_40_decibels(film, shown):
    found = list(h264.decode_stream(film))
    assert len(found) == len(film) == LENGTH
    assert [number_of(frame) for frame in found] == list(range(LENGTH))
    assert all(psnr(*pair) > 40 for pair in zip(found, shown, strict=True))
    files = [transforms.encode_jpeg(frame) for frame in shown]
    assert sum(map(len, film)) < 0.5 * sum(map(len, files))


def test_ffmpeg_reads_the_pieces_as_a_stream_and_decodes_the_same(film):
    with av.open(io.BytesIO(b"".join(film)), "r", format="h264") as container:
        planes = [x.to_ndarray(format="gray") for x in container.decode(video=0)]
    assert len(planes) == LENGTH
    for ours, plane in zip(h264.decode_stream(film), planes, strict=True):
        gray = ours @ [0.299, 0.587, 0.114]  # ITU-R BT.601, from which both are made
        np.testing.assert_allclose(gray, plane, atol=3)


def test_every_window_stride_and_order_shows_the_frames_of_the_whole(film):
    whole = list(h264.decode_stream(film))
    for start in range(LENGTH):
        for stride in (1, 2, 3, 9):
            times = np.arange(start, LENGTH, stride)
            part = h264.take(film, times)
            assert part[0].startswith(h264.KEY)
            found = list(h264.decode_stream(part))
            np.testing.assert_array_equal(found, [whole[t] for t in times])
            again = h264.take(part, range(len(times) - 1, -1, -1))
            for frame, time in zip(h264.decode_stream(again), times[::-1], strict=True):
                np.testing.assert_array_equal(frame, whole[time])
    np.testing.assert_array_equal(decode_frame(film, 13), whole[13])


def test_a_record_of_films_comes_back_with_all_that_lies_beside(clip, film):
    latents = np.arange(3 * LENGTH * 4, dtype=np.float16).reshape(3, LENGTH, 2, 2, 1)
    masks = np.full((3, LENGTH), b"", object)
    for i, j in np.ndindex(masks.shape):
        mask = np.where(np.arange(WIDTH) < 3 * j, 255, 0) * np.ones((HEIGHT, 1), int)
        masks[i, j] = transforms.encode_mask(mask.astype(np.uint8))
    depth = np.full((3, LENGTH), b"", object)
    flat = np.ones((HEIGHT, WIDTH))
    depth[0] = [transforms.encode_depth(flat * (1.0 + j)) for j in range(LENGTH)]
    whole = clip._replace(latents=latents, codec="some", masks=masks, depth16=depth)
    example = from_bytes(to_bytes(validate(whole)))
    for name, there, here in zip(whole._fields, example, whole, strict=True):
        np.testing.assert_array_equal(there, here, err_msg=name)
    times = np.array([3, 6, 11])
    part = from_bytes(to_bytes(validate(select(example, np.array([2, 1, 0]), times))))
    decoded = transforms.decode(part, height=HEIGHT, width=WIDTH)
    frames = list(h264.decode_stream(film))
    for view in (0, 2):
        np.testing.assert_array_equal(decoded.frames[view], [frames[t] for t in times])
    assert [number_of(frame) for frame in decoded.frames[1]] == times.tolist()
    np.testing.assert_array_equal(decoded.depth[2, :, 0, 0], 1 + times)
    shown = (decoded.masks[0] > 0).sum((1, 2))
    np.testing.assert_array_equal(shown, 3 * times * HEIGHT)
    np.testing.assert_array_equal(part.latents, latents[[2, 1, 0]][:, times])


def test_damage_is_named(clip):
    frames = clip.frames.copy()
    piece = frames[2, 10]
    frames[2, 10] = piece[:9] + np.random.default_rng(0).bytes(len(piece) - 9)
    out = np.zeros((3, LENGTH, HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(ValueError, match=r"view 2, frame 10: found \d+ bytes"):
        decode_into(clip._replace(frames=frames), out)
