"""What is said to be damaged is what differs from the whole film, and what is whole is sound."""

import av
import numpy as np
import pytest

from input_pipeline.damaged_frames import _Fact, spread_damage, timeline
from input_pipeline.video_files import decode

KEY = _Fact(0.0, False, False, bidirectional=False, key=True)
FORWARD = KEY._replace(key=False)
BOTH = FORWARD._replace(bidirectional=True)
KINDS = {"K": KEY, "P": FORWARD, "B": BOTH, "b": BOTH}
END = 2.0  # seconds


def pictures(path):
    """The frames up to `END`, by their times."""
    frames = {}
    for frame in decode(path):
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
    references = {float(i) for i, kind in enumerate(kinds) if kind != "b"}
    damaged = np.arange(len(kinds)) == broken
    assert np.flatnonzero(spread_damage(facts, damaged, references)).tolist() == expected


def test_whole_films_have_no_damage(shared_data):
    films = sorted((shared_data / "data/real_videos").glob("*.mp4"))[::4]
    for film in films:
        shown = timeline(film, 0.0, END, 1)
        assert not shown.damaged.any(), film
        assert shown.end == ""
        assert set(pictures(film)) <= set(shown.times)


@pytest.mark.parametrize("place", range(6))
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
