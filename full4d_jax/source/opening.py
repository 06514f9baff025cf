"""One way to open what a run starts from, whatever it is."""

from typing import Any

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid
from full4d_jax.session.extras import has
from full4d_jax.source import capture_source, dataset_view, options, two_videos, video_source
from full4d_jax.source.lens import LensEstimate
from input_pipeline.importers.camera_path import path_files


def open_source(
    data: DataConfig,
    source: options.SampleOptions | options.LiftOptions,
    estimate: LensEstimate | None = None,
) -> Grid:
    """Open what a run starts from, whatever it is.

    Args:
      data: how many frames of which size.
      source: what it is.
      estimate: a depth network's field of view of a video; None without one that knows.

    Raises:
      InputError: The video, data set or capture is unusable.
    """
    match source:
        case options.VideoOptions():
            return video_source.open_video(data, source, estimate)
        case options.DemoOptions():
            return video_source.open_demo(data, source)
        case options.TwoVideosOptions():
            return two_videos.open_two_videos(data, source)
        case options.DemoGridOptions():
            return two_videos.open_demo_grid(data, source)
        case options.DatasetViewOptions():
            return dataset_view.open_dataset_view(data, source)
        case options.DatasetClipOptions():
            return capture_source.open_dataset_clip(source)
        case options.CaptureOptions():
            return capture_source.open_capture(source)
    raise TypeError(f"open_source: found {type(source).__name__}, expected options of a source")


def opening_settings(data: DataConfig, source: options.SampleOptions) -> dict[str, Any]:
    """Return what `open_source` depends on, for `stages.fingerprint`."""
    later = ("cameras", "measured", "size")  # stages read them; the size is in `data`
    settings = {name: value for name, value in vars(source).items() if name not in later}
    settings |= {"way": type(source).__name__, "data": data}
    if isinstance(source, options.DemoOptions | options.DatasetViewOptions):
        settings["knows_depth"] = source.measured.depth_network is None
    # With the extra a path is found in another way.
    if isinstance(source, options.VideoOptions | options.TwoVideosOptions):
        poses = path_files(source.poses) if source.poses else []
        settings |= {"poses": poses, "sfm": has("pycolmap")}
    if isinstance(source, options.DatasetViewOptions):
        settings["content"] = capture_source.dataset_content(source.dataset, source.split)
    return settings
