"""Pictures and videos of every kind are read as they are; what is not whole is refused."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import field_films
import numpy as np
import pytest
from av.error import InvalidDataError
from av.video.frame import PictureType
from PIL import Image
from tagged_videos import (
    CUBE_MAP,
    EQUIRECTANGULAR,
    MESH,
    SIDE_BY_SIDE,
    add_cover,
    box,
    set_display_matrix,
    set_pixel_shape,
    set_projection,
)
from wave_films import FPS, HLG, SDR, srgb, wave, write_waves

from full4d_jax.media.video_io import crop_resize, read_video
from input_pipeline import plain_files
from input_pipeline.media_files import (
    first_picture,
    picture_size,
    read_alpha,
    read_depth,
    read_photo,
    read_picture,
    videos_in,
)
from input_pipeline.plain_files import FileRefusal
from input_pipeline.video_files import (
    decode_frames,
    first_frame,
    frame_size,
    frame_times,
    open_video,
    read_frames,
    timeline,
)

RAMP = np.tile(np.linspace(0, 250, 32).astype(np.uint8), (24, 1))


def test_kinds_of_pixels(tmp_path):
    colour = np.stack([RAMP, RAMP[::-1], 255 - RAMP], -1)
    clear = np.dstack([colour, np.full_like(RAMP, 51)])  # a fifth
    Image.fromarray(colour).save(tmp_path / "rgb.png")
    Image.fromarray(RAMP).save(tmp_path / "gray.png")
    Image.fromarray(clear).save(tmp_path / "clear.png")
    cv2.imwrite(str(tmp_path / "deep.png"), RAMP.astype(np.uint16) * 257)
    deep = colour[..., ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deepcolour.png"), deep)
    gray = np.repeat(RAMP[..., None], 3, -1)
    for name, expected in (
        ("rgb", colour),
        ("gray", gray),
        ("deep", gray),
        ("deepcolour", colour),
        ("clear", np.round(0.2 * colour.astype(float) + 0.8 * 255)),
    ):
        found = read_picture(tmp_path / f"{name}.png").astype(int)
        assert np.abs(found - expected).max() <= 1, name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_as_in_opencv(tmp_path, orientation):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (3, 4, 3), np.uint8)
    picture = Image.fromarray(blocks.repeat(16, 0).repeat(16, 1))
    exif = picture.getexif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    picture.save(path, exif=exif, quality=95)
    upright = cv2.imread(str(path))
    assert upright is not None
    difference = np.abs(read_photo(path).astype(int) - upright[..., ::-1])
    assert difference.max() < 10
    video = read_video(path, height=24, width=32, frames=1)
    shown = crop_resize(upright[..., ::-1].copy(), 24, 32)
    assert np.abs(video.frames[0].astype(int) - shown).max() < 10


def test_exif_turns_are_ignored(tmp_path):
    picture = Image.fromarray(RAMP)
    exif = picture.getexif()
    exif[0x0112] = 6  # a quarter turn
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert read_picture(tmp_path / "a.jpg").shape == (24, 32, 3)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_pictures_cut_off_are_refused(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    file = tmp_path / f"a{ending}"
    Image.fromarray(noise).save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"a{ending}: found"):
        read_picture(file)


def test_depth_that_is_none_is_refused_and_unknown_is_zero(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[1.0, np.nan], [-2.0, np.inf]]))
    np.testing.assert_array_equal(read_depth(tmp_path / "a.npy", 2.0), [[2, 0], [0, 0]])
    np.save(tmp_path / "b.npy", np.zeros((2, 2, 3)))
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY")
    for name in ("b.npy", "c.npy"):
        with pytest.raises(ValueError, match=f"{name}: found .* expected depth"):
            read_depth(tmp_path / name, 1.0)
    with pytest.raises(ValueError, match=r"none\.npy: found no such file"):
        read_depth(tmp_path / "none.npy", 1.0)


def test_pictures_that_are_too_large_are_refused_by_their_header(tmp_path, monkeypatch):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    monkeypatch.setattr(plain_files, "MAX_PIXELS", RAMP.shape[0] * RAMP.shape[1])
    read_picture(tmp_path / "a.png")
    monkeypatch.setattr(plain_files, "MAX_PIXELS", RAMP.shape[0] * RAMP.shape[1] - 1)
    for read in (read_picture, read_alpha, picture_size):
        with pytest.raises(ValueError, match="pictures of 32x24 pixels, expected"):
            read(tmp_path / "a.png")


END = 2.0  # seconds of real videos that are looked at
VARIABLE = [0, 4, 8, 30, 31, 60, 100, 104, 130, 140]


def levels(pictures):
    return [round(float(picture[-8:, -8:].mean()) / 20) for picture in pictures]


def test_times_are_those_of_the_decoded_frames(tmp_path, make_video):
    path = make_video(tmp_path / "ü 影片.mp4", VARIABLE)
    np.testing.assert_allclose(frame_times(path), np.array(VARIABLE) / 100, atol=1e-4)
    times = [frame.time for frame in decode_frames(path)]
    np.testing.assert_allclose(times, frame_times(path), atol=1e-9)


def test_any_frames_are_read_from_anywhere(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", VARIABLE)
    times = frame_times(path)
    for chosen in ([0, 1, 2], [3, 5, 9], [8], list(range(10))):
        assert levels(read_frames(path, times[chosen])) == chosen


def test_rotated_frames_are_upright_as_in_opencv(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", [0, 4, 8], rotation=90)
    upright = cv2.VideoCapture(str(path))
    upright.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    expected = upright.read()[1]
    assert frame_size(path) == expected.shape[:2]
    picture = next(read_frames(path, [0.0]))
    assert np.abs(picture.astype(int) - expected[..., ::-1]).mean() < 3


@pytest.mark.parametrize(
    "matrix",
    [(x, 0, 0, y) for x in (1, -1) for y in (1, -1)]
    + [(0, x, y, 0) for x in (1, -1) for y in (1, -1)],
)
def test_turned_and_mirrored_frames_are_upright(tmp_path, make_video, matrix):
    path = make_video(tmp_path / "a.mp4", [0, 4, 8])
    stored = first_frame(path)
    set_display_matrix(path, *matrix)
    # ISO/IEC 14496-12, 6.2.2: a pixel at p, q is shown at a p + c q, b p + d q, and a shift.
    a, b, c, d = matrix
    q, p = np.indices(stored.shape[:2])
    columns, rows = a * p + c * q, b * p + d * q
    columns, rows = columns - columns.min(), rows - rows.min()
    expected = np.zeros((rows.max() + 1, columns.max() + 1, 3), np.uint8)
    expected[rows, columns] = stored
    np.testing.assert_array_equal(first_frame(path), expected)
    assert frame_size(path) == expected.shape[:2]


COVER = cv2.imencode(".jpg", np.full((160, 200, 3), 99, np.uint8))[1].tobytes()


@pytest.mark.parametrize("name", ["a.MTS", "a.m2ts", "a.vob", "a.mpg"])
def test_films_of_camcorders_are_films_of_a_folder(tmp_path, make_video, name):
    codec = "mpeg2video" if name in ("a.vob", "a.mpg") else "libx264"
    path = make_video(tmp_path / name, range(0, 100, 4), codec=codec)
    assert videos_in(tmp_path) == {"a": (path,)}
    assert picture_size(path) == (48, 64)
    assert first_picture(path)[:20, :20].min() > 200


def test_film_behind_its_cover(tmp_path, make_video):
    path = make_video(tmp_path / "a.mp4", VARIABLE)
    times, plain = frame_times(path), list(decode_frames(path))
    add_cover(path, COVER)
    with av.open(str(path)) as container:
        assert [s.codec.name for s in container.streams.video] == ["mjpeg", "h264"]
    np.testing.assert_array_equal(frame_times(path), times)
    np.testing.assert_allclose(timeline(path, 0.0, END, 1).times, times)
    assert frame_size(path) == (48, 64)
    for before, after in zip(plain, decode_frames(path), strict=True):
        np.testing.assert_array_equal(after.picture, before.picture)


def test_sound_with_a_cover_is_no_film(tmp_path):
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        silence = np.zeros((1, 1024), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux([*stream.encode(frame), *stream.encode()])
    add_cover(path, COVER)
    for read in (frame_times, frame_size):
        with pytest.raises(ValueError, match=r"a\.m4a: found no video stream"):
            read(path)


def write_moving_film(path, codec, options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
        noise = np.random.default_rng(0).integers(0, 255, (8, 10, 3), np.uint8)
        ground = noise.repeat(8, 0).repeat(8, 1)
        for i in range(40):
            picture = np.roll(ground, (i, 2 * i), (0, 1))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def repack(path, target):
    with av.open(str(path)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                container.mux(packet)


@pytest.mark.parametrize(
    ("codec", "options", "ending"),
    [
        ("libx264", {"g": "12"}, "ts"),
        ("libx264", {"g": "12"}, "mts"),
        ("libx264", {"g": "12"}, "m2ts"),
        ("libx264", {"g": "12", "x264-params": "open-gop=1"}, "mp4"),
        ("libx265", {"g": "12", "x265-params": "log-level=none"}, "mkv"),
        ("mpeg2video", {"g": "12", "bf": "2"}, "vob"),
    ],
)
def test_every_start_gives_the_pictures_of_one_pass(tmp_path, codec, options, ending):
    write_moving_film(tmp_path / "whole.mp4", codec, options)
    path = tmp_path / f"a.{ending}"
    repack(tmp_path / "whole.mp4", path)
    with av.open(str(tmp_path / "whole.mp4")) as container:
        whole = [
            frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)
        ]
    times = frame_times(path)
    assert len(times) == len(whole) == 40
    half = 0.02
    for first in range(0, 37, 3):
        read = [*read_frames(path, times[first : first + 3])]
        np.testing.assert_array_equal(read, whole[first : first + 3])
        start = times[first] - half
        shown = [x for x in decode_frames(path, start) if x.time >= start]
        assert not any(x.damaged for x in shown)
        np.testing.assert_array_equal([x.picture for x in shown], whole[first:])
        part = timeline(path, start, times[first + 2], 3)
        assert not part.damaged.any()
        assert not part.end
        np.testing.assert_allclose(part.times[:3], times[first : first + 3])


@pytest.mark.parametrize(
    ("codec", "kind", "first_field", "ending"),
    [
        ("libx264", SDR, "tff", "mp4"),
        ("libx264", SDR, "bff", "mts"),
        ("libx264", HLG, "tff", "mov"),
        ("mpeg2video", SDR, "bff", "mkv"),
    ],
)
def test_interlaced_films_have_no_combs(tmp_path, codec, kind, first_field, ending):
    write_waves(tmp_path / "b.mkv", codec, kind, first_field=first_field)
    path = tmp_path / f"a.{ending}"
    repack(tmp_path / "b.mkv", path)
    with av.open(str(path)) as container:
        woven = next(container.decode(video=0)).to_ndarray()
    moved = np.abs(woven[2:30].astype(float) - woven[1:29])
    assert moved.mean() > 4  # lines beside each other differ in the file
    whole = list(decode_frames(path))
    times = frame_times(path)
    np.testing.assert_allclose([x.time for x in whole], times, atol=1e-6)
    np.testing.assert_allclose(times, np.arange(50) / FPS, atol=1e-3)
    for number, frame in enumerate(whole):
        expected = srgb(wave(number / FPS), kind)
        later = srgb(wave((number + 0.5) / FPS), kind)
        error = np.abs(frame.picture - expected).mean()
        assert error < 2.5
        assert error < 0.6 * np.abs(frame.picture - later).mean()
    for start in np.arange(0, 1.6, 0.2):
        number = round(start * FPS)
        read = next(read_frames(path, times[number : number + 1]))
        np.testing.assert_array_equal(read, whole[number].picture)


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("ending", ["mts", "mp4"])
def test_two_fields_are_one_frame(tmp_path, apart, ending):
    path = tmp_path / f"a.{ending}"
    field_films.write_fields(path, 30, apart=apart)
    for first in range(0, 30, 4):
        start = (first - 0.5) / field_films.FPS
        shown = [x for x in decode_frames(path, start) if x.time >= start]
        times = np.arange(first, 30) / field_films.FPS
        np.testing.assert_allclose([x.time for x in shown], times, atol=1e-3)
        assert not any(x.damaged for x in shown)
        for number, frame in enumerate(shown, first):
            gray = 255 / 219 * (field_films.gray_code(number) - 16)
            np.testing.assert_allclose(
                frame.picture, np.full((32, 32, 3), gray), atol=1
            )
    assert not timeline(path, 0.0, 1.0, 3).damaged.any()


def test_fields_instead_of_frames_are_refused(tmp_path):
    path = tmp_path / "a.mp4"
    options = {"x265-params": "log-level=none:interlace=tff"}
    write_waves(path, "libx265", SDR, frames=4, options=options)
    with pytest.raises(FileRefusal, match=r"a\.mp4: found single fields"):
        first_frame(path)


GOOGLE = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
GOOGLE_XML = box(b"uuid", GOOGLE + b"<GSpherical:Spherical>true</GSpherical:Spherical>")


@pytest.mark.parametrize(
    ("boxes", "what"),
    [
        (EQUIRECTANGULAR, r"a 360° film \(equirectangular\)"),
        (CUBE_MAP, r"a 360° film \(cube map\)"),
        (MESH, r"a 360° film \(VR180 or another mesh\)"),
        (GOOGLE_XML, r"a 360° film \(Google's XML\)"),
        (SIDE_BY_SIDE, "a 3D film"),
    ],
)
def test_films_that_are_not_flat_are_refused(tmp_path, make_video, boxes, what):
    path = make_video(tmp_path / "a.mp4", VARIABLE)
    set_projection(path, boxes)
    for read in (frame_size, lambda path: list(read_frames(path, [0.0]))):
        with pytest.raises(FileRefusal, match=rf"a\.mp4: found {what}"):
            read(path)
    if boxes in (EQUIRECTANGULAR, CUBE_MAP, SIDE_BY_SIDE):
        repack(path, tmp_path / "a.mkv")
        with pytest.raises(FileRefusal, match=rf"a\.mkv: found {what}"):
            frame_size(tmp_path / "a.mkv")


def test_damaged_metadata_are_no_damage(tmp_path):
    path = tmp_path / "a.mp4"
    write_moving_film(path, "libx264", {"g": "12"})
    whole = list(decode_frames(path))
    film = bytearray(path.read_bytes())
    # The length of the encoder's message, before its 16 bytes of identification.
    film[film.index(b"x264 - core") - 17] = 255
    path.write_bytes(film)
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        with pytest.raises(InvalidDataError):
            next(container.decode(video=0))
    times = frame_times(path)
    np.testing.assert_array_equal(
        [*read_frames(path, times)], [x.picture for x in whole]
    )
    assert not any(frame.damaged for frame in decode_frames(path))
    assert not timeline(path, 0.0, END, 1).damaged.any()


@pytest.mark.parametrize("kind", [PictureType.P, PictureType.B])
def test_all_readers_see_the_same_damage(tmp_path, kind):
    path = tmp_path / "a.mp4"
    write_moving_film(path, "libx264", {"g": "12"})
    with av.open(str(path)) as container:
        kinds = {x.pts: x.pict_type for x in container.decode(video=0)}
        container.seek(0)
        packets = [x for x in container.demux(video=0) if x.size]
        packet = [x for x in packets if kinds[x.pts] == kind][3]
        assert packet.pos is not None
    film = bytearray(path.read_bytes())
    # The slice's header.
    film[packet.pos + 5 : packet.pos + 9] = bytes(4)
    path.write_bytes(film)
    times = frame_times(path)
    part = timeline(path, 0.0, END, 1)
    np.testing.assert_allclose(part.times, times)
    assert 0 < part.damaged.sum() < len(times)
    shown = [x.time for x in decode_frames(path) if not x.damaged]
    np.testing.assert_array_equal(shown, part.times[~part.damaged])
    for time, damaged in zip(times, part.damaged, strict=True):
        if damaged:
            with pytest.raises(ValueError, match="a damaged or missing frame at"):
                list(read_frames(path, [time]))
        else:
            assert len(list(read_frames(path, [time]))) == 1


def test_ten_bit_video(tmp_path, make_video):
    deep = {"pix_fmt": "yuv420p10le", "codec": "libx265"}
    path = make_video(tmp_path / "a.mkv", [0, 4, 8, 12], **deep)
    assert levels(read_frames(path, frame_times(path))) == [0, 1, 2, 3]


def test_files_that_are_no_videos_are_refused(tmp_path, make_video):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(make_video(tmp_path / "a.mp4", VARIABLE).read_bytes()[:600])
    for path in (text, cut):
        for read in (frame_times, frame_size):
            with pytest.raises(ValueError, match=f"{path.name}: found no readable"):
                read(path)


@pytest.mark.parametrize("name", ["a:b.mp4", "pipe:0"])
def test_names_like_addresses_are_files(tmp_path, make_video, monkeypatch, name):
    make_video(tmp_path / "a.mp4", [0, 4, 8])
    (tmp_path / "a.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert first_frame(Path(name)).size
    assert len(frame_times(Path(name))) == 3


@pytest.mark.parametrize("shape", [(1000, 1), (1, 9)])
def test_pixels_of_a_shape_that_no_camera_has_are_refused(tmp_path, shape):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        black = np.zeros((48, 64, 3), np.uint8)
        frame = av.VideoFrame.from_ndarray(black, format="rgb24")
        container.mux([*stream.encode(frame), *stream.encode()])
    assert first_frame(path).shape == (48, 85, 3)
    set_pixel_shape(path, *shape)
    with pytest.raises(FileRefusal, match="times their height, expected"):
        first_frame(path)
    with open_video(path):
        pass  # what it says of itself may be looked at


def pictures(path):
    """The frames up to `END`, by their times."""
    frames = {}
    for frame in decode_frames(path):
        if frame.time > END:
            break
        frames[frame.time] = frame.picture.astype(int)
    return frames


def test_whole_films_have_no_damage(shared_data):
    films = sorted((shared_data / "data/real_videos").glob("*.mp4"))[::4]
    for film in films:
        shown = timeline(film, 0.0, END, 1)
        assert not shown.damaged.any(), film
        assert shown.end == ""
        assert set(pictures(film)) <= set(shown.times)


def test_said_damage_covers_what_differs(tmp_path, shared_data):
    whole = shared_data / "data/real_videos/intel_asl_gestures_help.mp4"
    with av.open(str(whole)) as container:
        packets = container.demux(container.streams.video[0])
        packet = next(packet for packet in packets if packet.size > 1500)
    assert packet.pos is not None
    middle = packet.pos + packet.size // 2
    damaged = bytearray(whole.read_bytes())
    damaged[middle : middle + 200] = np.random.default_rng(0).bytes(200)
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged)
    shown = timeline(path, 0.0, END, 1)
    sound = shown.times[~shown.damaged]
    before = pictures(whole)
    after = pictures(path)
    assert shown.damaged.any()
    for time in sound[sound <= END]:
        assert np.abs(after[time] - before[time]).mean() < 1
