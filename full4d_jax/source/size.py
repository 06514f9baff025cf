"""The size of a result: as wanted, within what the source has.

The prior works at the size in the config's data section. Where an upsampler belongs to it, results
are larger: whole frames of `USUAL_ROWS` rows (the short side), `USUAL_SECONDS` seconds,
`USUAL_VIEWS` views. A data set has its own number of views and its own rows, from the prior's to
`USUAL_ROWS`.
"""

import math
from typing import NamedTuple

import numpy as np

from full4d_jax import cameras
from full4d_jax.config import DEFAULT, Config, Size
from full4d_jax.media.video_io import check_file
from full4d_jax.models.nets import unet
from full4d_jax.session.errors import InputError, input_errors
from full4d_jax.source import capture_source, dataset_view
from full4d_jax.source.options import (
    DatasetViewOptions,
    DemoOptions,
    SampleOptions,
    VideoOptions,
)
from input_pipeline.video_files import frame_size, frame_times

USUAL_ROWS = 256
USUAL_SECONDS = 2.0
USUAL_VIEWS = 5
# The shape of the demo.
DEMO_SHAPE = (9, 16)


class Footage(NamedTuple):
    """Pictures that a source has to offer.

    Attributes:
      height: rows of its pictures.
      width: their columns.
      frames: number of frames that can be taken at the wanted rate; infinite for any.
      fps: the wanted rate, frames a second.
      views: number of its views; None for any.
    """

    height: int
    width: int
    frames: float
    fps: float
    views: int | None = None


def size_of_result(config: Config, options: SampleOptions, *, enlarged: bool) -> Size:
    """Return the size of the result.

    Args:
      config: the experiment.
      options: the source, with the wanted size.
      enlarged: whether an upsampler belongs to the prior.

    Raises:
      InputError: The source is unusable, or config fields are given that do not set the size.
    """
    data = config.data
    wanted = options.size
    if wanted is None:
        return data.size
    multiple = config.model.patch * config.model.codec_stride
    views = data.views
    if enlarged:
        multiple = math.lcm(multiple, unet.SIDE_MULTIPLE)
        views = USUAL_VIEWS
        refused = {"frames": "--seconds and --fps"}
        # Without target cameras the source has its own views.
        if options.cameras is not None:
            refused["views"] = "--views"
        for name, option in refused.items():
            value = getattr(data, name)
            own = getattr(DEFAULT.data, name)
            if value != own:
                expected = f"{own}, what the prior was trained on"
                do = f"give {option}"
                raise InputError("config", f"data.{name}", value, expected, do)
    if options.cameras is not None:
        views = options.size.views or views
    seconds = wanted.seconds or (USUAL_SECONDS if enlarged else None)
    if wanted.rows is None and seconds is None:
        return data.size._replace(views=views)
    match options:
        case DemoOptions():
            footage = Footage(*DEMO_SHAPE, math.inf, data.fps)
        case DatasetViewOptions():
            footage = _clip_footage(options, data.fps)
        case VideoOptions():
            footage = _video_footage(options, data.fps, seconds)
    frames = data.frames
    if seconds is not None:
        # Of a slow clip, whose views are its own, more seconds.
        least = data.frames if wanted.seconds is None and footage.views else 1
        frames = int(min(max(least, round(seconds * footage.fps)), footage.frames))
    rows = wanted.rows
    if rows is None and enlarged:
        rows = USUAL_ROWS
        if footage.views:
            rows = max(data.height, min(rows, footage.height, footage.width))
    sides = data.height, data.width
    if rows is not None:
        sides = cameras.sides(footage.height, footage.width, rows, multiple)
    return Size(footage.views or views, frames, *sides)


def _video_footage(
    options: VideoOptions, usual_fps: float, seconds: float | None
) -> Footage:
    """Return what a video has from its start on.

    Raises:
      InputError: The video is unusable.
    """
    fps = options.fps or usual_fps
    # A part that is chosen has as many frames.
    start = options.start or 0.0
    check_file(options.video)
    with input_errors("video", "give another video"):
        height, width = frame_size(options.video)
    try:
        times = frame_times(options.video)
    # Without timestamps how many frames there are is found when they are read.
    except ValueError:
        return Footage(height, width, math.inf, fps)
    left = times[times >= start - 0.5 / fps]
    if not len(left):
        found = f"{times[-1]:.2f} seconds"
        expected = f"more than {start:g}"
        raise InputError("video", options.video, found, expected, "lower --start")
    # A slow video has fewer frames in that time.
    if seconds is not None:
        left = left[left < max(start, left[0]) + seconds]
    span = int((left[-1] - max(start, left[0])) * fps + 1.001)
    return Footage(height, width, max(1, min(len(left), span)), fps)


def _clip_footage(options: DatasetViewOptions, usual_fps: float) -> Footage:
    """Return what a data set's clip has, at least one frame.

    Raises:
      InputError: The data set is unusable, or has no such split, clip or view.
    """
    records, example = dataset_view.open_rig(options)
    times = example.timestamps[options.view[0]].astype(np.float64)
    entry = records.clips[options.clip]
    fps = capture_source.rate(times, options.fps, usual_fps)
    # Where the start is after its end, those who read it refuse it.
    left = max(1, len(capture_source.instants_from(times, options.start, fps)))
    height, width = int(entry["height"]), int(entry["width"])
    return Footage(height, width, left, fps, len(example.frames))
