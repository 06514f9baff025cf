"""One way to open what a run starts from, whatever it is."""

from typing import Any

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid
from full4d_jax.session.extras import has
from full4d_jax.source import capture_source, dataset_view, options, two_videos, video_source
from input_pipeline.importers.camera_path import path_files


def open_source(data: DataConfig, way: options.SampleOptions | options.LiftOptions) -> Grid:
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


def opening_settings(data: DataConfig, way: options.SampleOptions) -> dict[str, Any]:
    """Return what `open_source` depends on, for `stages.fingerprint`."""
    later = ("cameras", "measured", "size")  # stages read them; the size is in `data`
    settings = {name: value for name, value in vars(way).items() if name not in later}
    settings |= {"way": type(way).__name__, "data": data}
    if isinstance(way, options.DemoOptions | options.DatasetViewOptions):
        settings["knows_depth"] = way.measured.depth_network is None
    # With the extra a path is found in another way.
    if isinstance(way, options.VideoOptions | options.TwoVideosOptions):
        poses = path_files(way.poses) if way.poses else []
        settings |= {"poses": poses, "sfm": has("pycolmap")}
    if isinstance(way, options.DatasetViewOptions):
        settings["content"] = capture_source.dataset_content(way.dataset, way.split)
    return settings
