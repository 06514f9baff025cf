"""Reading is compared with what OpenCV, or the writer of the file, says of the same frames."""

import re
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from wave_films import SDR, ycbcr

from full4d_jax.media.video_io import read_credit, read_video, write_video
from full4d_jax.session.errors import InputError


def ramp(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frame i is i * 20 bright, and its upper left quarter is white."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    clip += (np.arange(frames) * 20).astype(np.uint8)[:, None, None, None]
    clip[:, : height // 2, : width // 2] = 255
    return clip


def write(
    path: Path, clip, *, times=None, rotation=0, pix_fmt="yuv420p", codec="libx264"
) -> Path:
    """`times`: of the frames, in hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = clip.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, 100)
        if rotation:
            stream.set_display_rotation(rotation)
        for i, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = 4 * i if times is None else times[i]
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "tags", "credit"),
    [
        ("a.mp4", {}, ""),
        ("a.mp4", {"title": "A walk"}, ""),
        ("a.mp4", {"artist": "A. Person", "copyright": "2026"}, "A. Person; 2026"),
        ("a.mkv", {"LICENSE": "CC BY 4.0", "Artist": "A"}, "A; CC BY 4.0"),
        ("a.mp4", {"artist": "A", "copyright": "A"}, "A"),
    ],
)
def test_tags_of_a_film_say_whom_to_credit(tmp_path, name, tags, credit):
    plain = write(tmp_path / "plain.mp4", ramp(3))
    with av.open(str(plain)) as source, av.open(str(tmp_path / name), "w") as target:
        target.metadata.update(tags)
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert read_credit(tmp_path / name) == credit


def test_a_film_made_of_another_keeps_its_credit(tmp_path):
    write_video(tmp_path / "a.mp4", ramp(3), 25, credit="A. Person, CC BY 4.0")
    assert read_credit(tmp_path / "a.mp4") == "A. Person, CC BY 4.0"
    write_video(tmp_path / "b.mp4", ramp(3), 25)
    assert read_credit(tmp_path / "b.mp4") == ""


def levels(frames: np.ndarray) -> np.ndarray:
    """Numbers of frames of a ramp, from their lower right corners."""
    return np.round(frames[:, -8:, -8:].mean((1, 2, 3)) / 20).astype(int)


def test_frames_are_taken_by_their_timestamps(tmp_path):
    # a variable rate: the frame at 0.4 s is number 2, not number 10
    path = write(tmp_path / "a.mp4", ramp(6), times=[0, 20, 40, 44, 60, 80])
    video = read_video(path, height=48, width=64, frames=3, fps=2.5)
    np.testing.assert_array_equal(levels(video.frames), [0, 2, 5])
    np.testing.assert_allclose(video.timestamps, [0, 0.4, 0.8], atol=1e-6)


def test_pictures_between_are_the_files_own_nearest_to_half_way(tmp_path):
    path = write(tmp_path / "a.mp4", ramp(9), times=[0, 4, 12, 20, 24, 28, 36, 40, 44])
    video = read_video(path, height=48, width=64, frames=3, fps=5)
    np.testing.assert_allclose(video.timestamps, [0, 0.2, 0.4], atol=1e-6)
    assert video.between is not None
    np.testing.assert_allclose(video.between.times, [0.12, 0.28], atol=1e-6)
    np.testing.assert_array_equal(levels(video.between.frames), [2, 5])


@pytest.mark.parametrize("rotation", [180, -90])
def test_rotation_flag_turns_the_picture_upright(tmp_path, rotation):
    path = write(tmp_path / "a.mp4", ramp(3), rotation=rotation)
    upright = cv2.VideoCapture(str(path))  # OpenCV turns by the flag, too
    upright.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    expected = cv2.cvtColor(upright.read()[1], cv2.COLOR_BGR2RGB)
    height, width = expected.shape[:2]
    video = read_video(path, height=height, width=width, frames=3)
    assert (height, width) == ((64, 48) if abs(rotation) == 90 else (48, 64))
    assert np.abs(video.frames[0].astype(int) - expected).mean() < 3


def test_ten_bit_video(tmp_path):
    path = write(tmp_path / "a.mkv", ramp(4), pix_fmt="yuv420p10le", codec="libx265")
    video = read_video(path, height=48, width=64, frames=4)
    np.testing.assert_array_equal(levels(video.frames), [0, 1, 2, 3])


def test_written_video_reads_back_and_odd_sizes_are_padded(tmp_path):
    clip = cv2.resize(ramp(1)[0], (63, 47))[None].repeat(5, 0)
    write_video(tmp_path / "b.mp4", clip, 10)
    assert [p.name for p in tmp_path.iterdir()] == ["b.mp4"]
    back = read_video(tmp_path / "b.mp4", height=48, width=64, frames=5, fps=10)
    assert np.abs(back.frames[:, :47, :63].astype(int) - clip).mean() < 4


def test_written_video_names_its_colours_and_has_them(tmp_path):
    colour = np.array([0.8, 0.25, 0.15])
    clip = np.full((2, 32, 48, 3), 255 * colour).astype(np.uint8)
    write_video(tmp_path / "a.mp4", clip, 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
    assert tags == (5, 1, 1, 1)
    planes = np.split(frame.to_ndarray(), [32, 40])
    codes = [np.median(plane) for plane in planes]
    np.testing.assert_allclose(codes, ycbcr(colour, SDR._replace(matrix=6)), atol=1)


def test_a_film_whose_times_go_back_is_refused(tmp_path):
    """Small frames that share a packet of a program stream have only one time stamp."""
    path = tmp_path / "a.vob"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(50):
            gray = np.full((64, 96), 5 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="times of frames that go back"):
        read_video(path, height=64, width=96, frames=20, fps=25)


def test_memory_does_not_grow_with_what_is_skipped(tmp_path):
    path = write(tmp_path / "long.mp4", np.zeros((400, 240, 320, 3), np.uint8))
    tracemalloc.start()
    video = read_video(path, height=240, width=320, frames=4, fps=0.25)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(video.frames) == 4
    assert most < 20 * 240 * 320 * 3  # bytes; of 301 decoded frames


def damage_packet(path: Path, *, key: bool) -> float:
    """Overwrite a packet in the middle of a video, its first bytes excepted; return its second."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
    later = packets[len(packets) // 3 :]
    packet = next(p for p in later if p.is_keyframe == key and p.size > 100)
    assert packet.pos is not None
    assert packet.pts is not None
    assert packet.time_base is not None
    damaged = bytearray(path.read_bytes())
    damaged[packet.pos + 40 : packet.pos + packet.size] = bytes(packet.size - 40)
    path.write_bytes(damaged)
    return float(packet.pts * packet.time_base)


def noisy(frames: int) -> np.ndarray:
    """Pictures that need many bytes, brighter from frame to frame."""
    noise = np.random.default_rng(0).integers(0, 60, (frames, 48, 64, 3))
    return (noise + 4 * np.arange(frames)[:, None, None, None]).astype(np.uint8)


def test_few_damaged_frames_are_left_out_and_told(tmp_path):
    clip = noisy(40)
    path = write(tmp_path / "a.mp4", clip, codec="mjpeg", pix_fmt="yuvj420p")
    second = damage_packet(path, key=True)
    video = read_video(path, height=48, width=64, frames=16, fps=12.5)
    assert re.search(r"; 1 of \d+ frames are damaged", video.note)
    assert second not in video.timestamps
    originals = clip[np.round(video.timestamps * 25).astype(int)]
    assert (
        np.abs(video.frames.astype(int).mean((1, 2)) - originals.mean((1, 2))).max() < 3
    )


def test_frames_predicted_from_a_damaged_one_are_refused(tmp_path):
    path = write(tmp_path / "a.mp4", noisy(40))
    second = damage_packet(path, key=False)
    with pytest.raises(InputError, match=r"frames are damaged, from") as e:
        read_video(path, height=48, width=64, frames=16, fps=12.5)
    told = float(str(e.value).split("damaged, from ")[1].split(" s")[0])
    assert told <= second + 0.005
    assert "--start" in str(e.value)
