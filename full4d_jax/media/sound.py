"""The sound of a part of a video file: mono AAC in an MP4 file, for a page.

Browsers play it in an `<audio>` element. What the file has no sound for is silent, so that the
result always lasts as long as the part.
"""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from input_pipeline.plain_files import FileRefusal
from input_pipeline.video_files import open_video, video_stream

# A second.
SAMPLE_RATE = 44_100


def read_sound(
    path: str | Path, times: Float[ndarray, " t"]
) -> UInt8[ndarray, " n"] | None:
    """Return the bytes of an MP4 file with the sound of a part of a video file.

    Args:
      path: the video file.
      times: of the part's pictures, seconds since the file's first; it ends with the last.

    Returns:
      None where the file has no sound, none that can be read in this part, or the part one picture.
    """
    count = round(float(times[-1] - times[0]) * SAMPLE_RATE)
    if not count:
        return None
    try:
        samples = _samples(Path(path), float(times[0]), count)
    except (FFmpegError, FileRefusal):
        return None
    return None if samples is None else np.frombuffer(_encoded(samples), np.uint8)


def _samples(path: Path, start: float, count: int) -> Float32[ndarray, " n"] | None:
    """Return `count` samples from a second on, 0 where there is no sound; None without any.

    Raises:
      FileRefusal: it is no file, or has sound only.
      FFmpegError: it is no video, or the decoder does not open.
    """
    samples = np.zeros(count, np.float32)
    is_heard = False
    with open_video(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        # When the first picture is shown, by the file's clock.
        video = video_stream(container, path)
        first = float((video.start_time or 0) * (video.time_base or 1))
        begin = first + start
        base = stream.time_base or Fraction(1)
        # A decoder's first samples are not whole, for so many seconds.
        preroll = 0.2
        if start > preroll:
            container.seek(int((begin - preroll) / base), stream=stream)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        try:
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                if frame.time > begin + count / SAMPLE_RATE:
                    break
                for part in resampler.resample(frame):
                    values = part.to_ndarray()[0]
                    time = frame.time if part.time is None else part.time
                    places = round((time - begin) * SAMPLE_RATE) + np.arange(
                        len(values)
                    )
                    here = (places >= 0) & (places < count)
                    samples[places[here]] = values[here]
                    is_heard |= bool(here.any())
        except (FFmpegError, ValueError):
            # It is silent where it is damaged, or goes on with another rate or layout.
            pass
    return np.nan_to_num(samples).clip(-1, 1) if is_heard else None


def _encoded(samples: Float32[ndarray, " n"]) -> bytes:
    """Return the bytes of an MP4 file of AAC."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        stream.codec_context.bit_rate = 48_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = 0
        frame.time_base = Fraction(1, SAMPLE_RATE)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()
