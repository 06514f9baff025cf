"""The size of a result: what is asked for, within what the source has.

The prior works at the size in the config's data section. Where an upsampler belongs to it, results
are larger: whole frames of `ROWS` rows (the short side), `SECONDS` seconds, `VIEWS` views.
"""

import math
from dataclasses import replace
from typing import NamedTuple

from full4d_jax.cameras import sides
from full4d_jax.config import DEFAULT, Config, DataConfig
from full4d_jax.media.video import check_file
from full4d_jax.models.upsampler import MULTIPLE
from full4d_jax.session.errors import InputError, as_input_error
from full4d_jax.source.options import DemoOptions, SampleOptions, VideoOptions
from input_pipeline.video_files import frame_size, frame_times

ROWS, SECONDS, VIEWS = 256, 2.0, 5
WIDE = (9, 16)  # the shape of the demo


class Footage(NamedTuple):
    """What a source has to offer.

    Attributes:
      height: rows of its pictures.
      width: their columns.
      frames: number of frames that can be taken at the wanted rate; None for any.
    """

    height: int
    width: int
    frames: int | None


def size_of_result(config: Config, way: SampleOptions, *, enlarged: bool) -> DataConfig:
    """Return the data section with the size of the result.

    Args:
      config: the experiment.
      way: the source, with the size that is asked for.
      enlarged: whether an upsampler belongs to the prior.

    Raises:
      InputError: The video is unusable, or the size is asked for by fields that do not set it.
    """
    data, multiple = config.data, config.model.patch * config.model.codec_stride
    if enlarged and isinstance(way, VideoOptions | DemoOptions):
        multiple = math.lcm(multiple, MULTIPLE)
        for name, option in (("views", "--views"), ("frames", "--seconds and --fps")):
            found, own = getattr(data, name), getattr(DEFAULT.data, name)
            if found != own:
                expected = f"{own}, what the prior was trained on"
                raise InputError("config", f"data.{name}", found, expected, f"give {option}")
    return result_size(data, way, enlarged=enlarged, multiple=multiple)


def is_beyond(size: DataConfig) -> bool:
    """Return whether a size is larger than that which the prior in the package was trained on."""
    trained = DEFAULT.data
    larger = min(size.height, size.width) > trained.height
    return larger or size.frames > trained.frames or size.views > trained.views


def result_size(
    data: DataConfig, way: SampleOptions, *, enlarged: bool, multiple: int
) -> DataConfig:
    """Return the data section with the size of the result in place of the prior's own.

    Args:
      data: the size that the prior works at.
      way: the source, with the size that is asked for.
      enlarged: whether an upsampler belongs to the prior.
      multiple: of which the sides must be multiples.

    Raises:
      InputError: The video is unusable.
    """
    if not isinstance(way, VideoOptions | DemoOptions):
        return data
    asked = way.size
    rows = asked.rows or (ROWS if enlarged else None)
    seconds = asked.seconds or (SECONDS if enlarged else None)
    views = asked.views or (VIEWS if enlarged else data.views)
    fps = (way.fps if isinstance(way, VideoOptions) else None) or data.fps
    frames = data.frames if seconds is None else max(1, round(seconds * fps))
    if rows is None and seconds is None:
        return replace(data, views=views)
    found = _footage(way, fps, seconds)
    if seconds is not None and found.frames is not None:
        frames = min(frames, found.frames)
    height, width = data.height, data.width
    if rows is not None:
        height, width = sides(found.height, found.width, rows, multiple)
    return replace(data, views=views, frames=frames, height=height, width=width)


def _footage(way: VideoOptions | DemoOptions, fps: float, seconds: float | None) -> Footage:
    """Return what the source has from its start on.

    Raises:
      InputError: The video is unusable.
    """
    if isinstance(way, DemoOptions):
        return Footage(*WIDE, None)
    check_file(way.video)
    do = "give another --video"
    try:
        height, width = frame_size(way.video)
    except ValueError as error:
        raise as_input_error("video", error, do) from None
    try:
        times = frame_times(way.video)
    except ValueError:  # without timestamps; how many frames there are is found when they are read
        return Footage(height, width, None)
    left = times[times >= way.start - 0.5 / fps]
    if not len(left):
        found = f"{times[-1]:.2f} seconds"
        raise InputError("video", way.video, found, f"more than {way.start:g}", "lower --start")
    if seconds is not None:  # a slow video has fewer frames in that time
        left = left[left < max(way.start, left[0]) + seconds]
    span = int((left[-1] - max(way.start, left[0])) * fps + 1.001)
    return Footage(height, width, max(1, min(len(left), span)))
