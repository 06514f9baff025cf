"""What is said to be damaged is what differs from the whole film, and what is whole is sound."""

import av
import numpy as np
import pytest

from input_pipeline.damaged_frames import _Fact, spread_damage, timeline
from input_pipeline.video_files import decode_frames, first_frame

KEY = _Fact(0.0, damaged=False, bidirectional=False, key=True)
FORWARD = KEY._replace(key=False)
BOTH = FORWARD._replace(bidirectional=True)
KINDS = {"K": KEY, "P": FORWARD, "B": BOTH, "b": BOTH}
END = 2.0  # seconds


def pictures(path):
    """The frames up to `END`, by their times."""
    frames = {}
    for frame in decode_frames(path):
        if frame.time > END:
            break
        frames[frame.time] = frame.picture.astype(int)
    return frames


@pytest.mark.parametrize(
    ("kinds", "broken", "expected"),
    [
        ("KbbPbbPK", 1, [1]),
        ("KbBbPbK", 2, [1, 2, 3, 4, 5]),
        ("KbbPbbPK", 3, [1, 2, 3, 4, 5, 6]),
        ("KPPPKPP", 2, [2, 3]),
        ("KPPbbKPP", 5, [3, 4, 5, 6, 7]),
    ],
)
def test_damage_spreads_to_what_is_predicted_from_it(kinds, broken, expected):
    """`b` is a bidirectional frame that no other is predicted from."""
    facts = [KINDS[kind]._replace(time=float(i)) for i, kind in enumerate(kinds)]
    facts[broken] = facts[broken]._replace(damaged=True)
    reference_times = {float(i) for i, kind in enumerate(kinds) if kind != "b"}
    assert np.flatnonzero(spread_damage(facts, reference_times)).tolist() == expected


def test_whole_films_have_no_damage(shared_data):
    films = sorted((shared_data / "data/real_videos").glob("*.mp4"))[::4]
    for film in films:
        shown = timeline(film, 0.0, END, 1)
        assert not shown.damaged.any(), film
        assert shown.end == ""
        assert set(pictures(film)) <= set(shown.times)


@pytest.mark.parametrize("place", range(2))
def test_said_damage_covers_what_differs(tmp_path, shared_data, place):
    whole = shared_data / "data/real_videos/intel_asl_gestures_help.mp4"
    with av.open(str(whole)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size > 1500]
    packet = packets[place]
    assert packet.pos is not None
    middle = packet.pos + packet.size // 2
    damaged = bytearray(whole.read_bytes())
    damaged[middle : middle + 200] = np.random.default_rng(place).bytes(200)
    path = tmp_path / "a.mp4"
    path.write_bytes(damaged)
    shown = timeline(path, 0.0, END, 1)
    sound = shown.times[~shown.damaged]
    before = pictures(whole)
    after = pictures(path)
    assert shown.damaged.any()
    for time in sound[sound <= END]:
        assert np.abs(after[time] - before[time]).mean() < 1


@pytest.fixture
def without_a_key_frame(tmp_path):
    """A film of 4 s with a key frame each second, of which that at 2 s is lost."""
    path = tmp_path / "keys.mp4"
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "25", "sc_threshold": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(100):
            picture = noise.integers(0, 99, (64, 64, 3)) + number
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
    lost = [p for p in packets if p.is_keyframe][2]
    assert lost.pos is not None
    content = bytearray(path.read_bytes())
    content[lost.pos : lost.pos + lost.size] = bytes(lost.size)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("first", "least"), [(0.0, 1), (2.2, 1)])
def test_all_frames_up_to_the_next_key_frame_are_damaged(without_a_key_frame, first, least):
    """Wherever the part begins: a decoder that starts at the lost one drops them in silence."""
    shown = timeline(without_a_key_frame, first, 3.4, least)
    rate = 25
    numbers = np.round(shown.times * rate).astype(int)
    np.testing.assert_array_equal(numbers, np.arange(round(first * rate + 0.3), numbers[-1] + 1))
    is_after_loss = (numbers >= 2 * rate) & (numbers < 3 * rate)
    assert shown.damaged[is_after_loss].all()
    assert not shown.damaged[(numbers < 2 * rate - 3) | (numbers >= 3 * rate)].any()


def test_the_clock_starts_at_a_first_frame_that_is_lost(without_a_key_frame):
    path = without_a_key_frame
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(container.streams.video[0]) if p.size)
    assert packet.pos is not None
    content = bytearray(path.read_bytes())
    content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    shown = timeline(path, 0.0, 1.4, 1)
    np.testing.assert_allclose(shown.times[:3], [0, 0.04, 0.08], atol=1e-6)
    assert shown.damaged[:25].all()
    assert not shown.damaged[25:].any()
    with pytest.raises(ValueError, match="found a damaged first frame"):
        first_frame(path)
