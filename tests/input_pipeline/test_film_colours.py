"""Colours of films are sRGB's, whatever transfer, primaries, matrix and range they name."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc, VideoReformatter
from wave_films import (
    FPS,
    HLG,
    PQ,
    SDR,
    Signal,
    nits_to_pq,
    srgb,
    wave,
    write_waves,
    ycbcr,
)

from input_pipeline.film_colours import SrgbConverter
from input_pipeline.plain_files import FileRefusal
from input_pipeline.video_files import decode_frames, first_frame


def deep_frame(signal, kind):
    """Return a frame of 10 bits for a signal of red, green and blue from 0 to 1."""
    codes = np.round(1023 * signal).astype(np.uint16)
    frame = av.VideoFrame(codes.shape[1], codes.shape[0], "gbrp10le")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        lines = np.zeros((plane.height, plane.line_size // 2), np.uint16)
        lines[:, : codes.shape[1]] = codes[..., channel]
        plane.update(lines.tobytes())
    frame.colorspace, frame.color_range = 0, 2
    frame.color_trc, frame.color_primaries = kind.transfer, kind.primaries
    return frame


def hlg_of_gray(nits):
    """Return the HLG signal of gray light on a screen of 1000 nits (BT.2100, table 5)."""
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    bright = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.where(scene > 1 / 12, bright, np.sqrt(3 * scene))


@pytest.mark.parametrize(("kind", "signal_of"), [(PQ, nits_to_pq), (HLG, hlg_of_gray)])
def test_dark_light_is_kept_and_bright_light_is_compressed(kind, signal_of):
    nits = np.array([0, 1, 5, 20, 50, 80, 100, 150, 203, 400, 600, 800, 999])
    gray = np.tile(signal_of(nits)[:, None], (16, 1, 3))
    shown = SrgbConverter().convert(deep_frame(gray, kind), len(nits))[8].astype(float)
    assert np.ptp(shown, axis=-1).max() <= 2
    shown = shown.mean(-1)
    kept = nits <= 80
    linear = nits[kept] / 203
    same = np.where(
        linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    np.testing.assert_allclose(shown[kept], 255 * same, atol=2)
    assert 225 < shown[nits == 203] < 235
    assert np.all(np.diff(shown[nits <= 400]) > 10)
    assert np.all(np.diff(shown) >= 0)
    assert shown[-1] > 253


@pytest.mark.parametrize("kind", [PQ, HLG])
def test_dark_colours_are_those_of_ffmpeg(kind):
    random = np.random.default_rng(0)
    limit = nits_to_pq(50.0) if kind == PQ else 0.4
    gray = random.uniform(0.3 * limit, 0.9 * limit, (48, 64, 1))
    signal = gray + random.uniform(-0.08, 0.08, (48, 64, 3)) * limit
    frame = deep_frame(signal, kind)
    expected = VideoReformatter().reformat(
        frame,
        format="rgb24",
        dst_color_trc=ColorTrc.IEC61966_2_1,
        dst_color_primaries=ColorPrimaries.BT709,
    )
    shown = SrgbConverter().convert(frame, 64).astype(int)
    difference = np.abs(shown - expected.to_ndarray())
    assert difference.max() <= 4
    assert difference.mean() < 1


@pytest.mark.parametrize(
    ("codec", "kind"),
    [
        ("libx265", PQ),
        ("libx265", HLG),
        ("libx264", SDR),
        ("libx264", Signal(1, 1, 1, 8, full=True)),
        ("libx264", Signal(6, 2, 6, 8)),
        ("libx264", Signal(6, 2, 6, 8, full=True)),
        ("libx264", Signal(1, 1, 1, 10, full=True)),
    ],
)
def test_films_have_the_colours_of_the_formulas(tmp_path, codec, kind):
    path = tmp_path / "a.mp4"
    write_waves(path, codec, kind, frames=4)
    for number, frame in enumerate(decode_frames(path)):
        expected = srgb(wave(number / FPS), kind)
        np.testing.assert_allclose(frame.picture, expected, atol=8)
        assert np.abs(frame.picture - expected).mean() < 2


@pytest.mark.parametrize(
    ("rows", "columns", "matrix"),
    [(480, 640, 6), (576, 1024, 6), (544, 1280, 1), (720, 1280, 1), (1280, 720, 1)],
)
def test_a_film_that_names_no_matrix_has_that_of_its_size(rows, columns, matrix):
    signal = np.array([[[0.8, 0.25, 0.15]]])
    frame = av.VideoFrame(columns, rows, "yuv420p")
    codes = ycbcr(signal, SDR._replace(matrix=matrix)).ravel()
    for plane, code in zip(frame.planes, codes, strict=True):
        plane.update(bytes([code]) * plane.buffer_size)
    shown = SrgbConverter().convert(frame, columns)
    np.testing.assert_allclose(shown, np.full_like(shown, 255 * signal), atol=2)


@pytest.mark.parametrize("primaries", [ColorPrimaries.BT2020, ColorPrimaries.SMPTE170M])
def test_primaries_of_ordinary_range_are_converted(primaries):
    """A film's red is a lighter one on a screen that has less of it (xy by SMPTE 170M, BT.2020)."""
    xy = {
        ColorPrimaries.BT2020: [[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]],
        ColorPrimaries.SMPTE170M: [[0.630, 0.340], [0.310, 0.595], [0.155, 0.070]],
    }[primaries]
    x, y = np.transpose(xy)
    white = np.array([0.3127 / 0.3290, 1, 0.3583 / 0.3290])
    columns = np.stack([x, y, 1 - x - y])
    to_xyz = columns * np.linalg.solve(columns, white)
    # IEC 61966-2-1, which prints the matrix.
    to_srgb = [
        [3.2406, -1.5372, -0.4986],
        [-0.9689, 1.8758, 0.0415],
        [0.0557, -0.2040, 1.0570],
    ]
    signal = np.random.default_rng(0).uniform(0.4, 0.6, (32, 48, 3))
    linear = ((signal + 0.055) / 1.055) ** 2.4 @ to_xyz.T @ np.transpose(to_srgb)
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    frame = deep_frame(signal, Signal(1, primaries, 0, 10))
    np.testing.assert_allclose(SrgbConverter().convert(frame, 48), expected, atol=2)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        (Signal(16, 2, 9, 10), "primaries 2"),
        (Signal(8, 1, 1, 10), "transfer 8"),
        (Signal(18, 9, 2, 10), "matrix 2"),
    ],
)
def test_colours_that_nobody_knows_are_refused(tmp_path, kind, what):
    path = tmp_path / "a.mkv"
    written = kind._replace(matrix=9)
    write_waves(path, "libx265", written, frames=2, tagged=kind)
    with pytest.raises(FileRefusal, match=f"a.mkv: found colours with {what} of H.273"):
        first_frame(path)


def test_pictures_that_change_size_are_converted():
    converter = SrgbConverter()
    gray = np.full((32, 48, 3), 0.3)
    alone = [
        SrgbConverter().convert(deep_frame(x, HLG), x.shape[1])
        for x in (gray, gray[:16])
    ]
    for size in (0, 1, 0):
        frame = deep_frame((gray, gray[:16])[size], HLG)
        np.testing.assert_array_equal(converter.convert(frame, 48), alone[size])
