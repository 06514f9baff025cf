"""What is said to be damaged is what differs from the whole film, and what is whole is sound."""

import av
import numpy as np

from input_pipeline.video_files import decode_frames, timeline

END = 2.0  # seconds


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
        packets = [p for p in container.demux(container.streams.video[0]) if p.size > 1500]
    packet = packets[0]
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
