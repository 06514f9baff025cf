"""One way to open a source, whatever it is, and to keep a capture that is lifted as it is."""

from dataclasses import replace

import numpy as np

from full4d_jax.config import DataConfig
from full4d_jax.session.stages import Stages
from full4d_jax.source import capture_source, dataset_view, options, two_videos, video_source
from full4d_jax.source.source import Source, source_arrays


def open_source(data: DataConfig, way: options.SampleOptions | options.LiftOptions) -> Source:
    """Open what a run starts from, whatever it is.

    Raises:
      InputError: The video, data set or capture is unusable.
    """
    match way:
        case options.VideoOptions():
            return video_source.open_video(data, way)
        case options.DemoOptions():
            return video_source.open_demo(data, way)
        case options.TwoVideosOptions():
            return two_videos.open_two_videos(data, way)
        case options.DemoGridOptions():
            return two_videos.open_demo_grid(data, way)
        case options.DatasetViewOptions():
            return dataset_view.open_dataset_view(data, way)
        case options.DatasetClipOptions():
            return capture_source.open_dataset_clip(way)
        case options.CaptureOptions():
            return capture_source.open_capture(way)
    raise TypeError(f"open_source: found {type(way).__name__}, expected options of a source")


def keep_capture(stages: Stages, source: Source) -> None:
    """Save a capture as the stages source, depth and grid; nothing is estimated or generated."""
    cameras, depth = source.cameras, source.depth
    assert cameras is not None, "a capture has cameras"
    if depth is None:
        depth = np.zeros((*source.frames.shape[:2], 0, 0), np.float32)
    alone = {"depth": None, "masks": None, "held_out": None, "cloud": None}
    first = replace(source, frames=source.frames[:1], given=source.given[:1], **alone)
    counts = source_arrays(replace(source, note="", warning=""))  # names of files do not
    stages.run("source", counts, lambda: source_arrays(first))
    stages.run("depth", {}, lambda: {"depth": depth, "of": np.asarray(source.depth_of)})
    beside = {"held_out": source.held_out, "masks": source.masks, "cloud": source.cloud}
    beside = {name: x for name, x in beside.items() if x is not None}
    grid = {"frames": source.frames, "intrinsics": cameras.intrinsics}
    grid |= {"world_to_camera": cameras.world_to_camera}
    stages.run("grid", beside, lambda: grid | beside)


def keep_without_depth(stages: Stages, source: Source) -> None:
    """Save the stage depth of a grid of which nobody knows any depth."""
    shape = *source.frames.shape[:2], 0, 0
    depth = {"depth": np.zeros(shape, np.float32), "of": np.asarray("all views")}
    stages.run("depth", {}, lambda: depth)
