"""Videos with sound: silence, and then a tone."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

SOUND_RATE = 48_000  # samples a second
TONE = 440  # Hz


def write_video_with_sound(
    path: Path,
    frames: UInt8[np.ndarray, "t h w 3"],
    fps: int,
    *,
    tone_at: float = 0.0,
    sound_at: float = 0.0,
) -> Path:
    """Write a video with stereo sound.

    Args:
      path: where to write.
      frames: sRGB, of even sides.
      fps: frames a second.
      tone_at: second at which the tone begins.
      sound_at: second at which the sound begins, of which there is none before.
    """
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps)
        video.height, video.width = frames.shape[1:3]
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="stereo")
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            frame.time_base = Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        first = round(sound_at * SOUND_RATE)
        times = np.arange(first, len(frames) * SOUND_RATE // fps) / SOUND_RATE
        wave = 0.5 * np.sin(2 * np.pi * TONE * times) * (times >= tone_at)
        for begin in range(0, len(wave), 1024):
            part = wave[None, begin : begin + 1024].astype(np.float32)
            values = np.tile(part, (2, 1))
            heard = av.AudioFrame.from_ndarray(values, format="fltp", layout="stereo")
            heard.sample_rate = SOUND_RATE
            heard.pts = first + begin
            heard.time_base = Fraction(1, SOUND_RATE)
            container.mux(sound.encode(heard))
        container.mux(sound.encode())
    return path
