"""One way to open what a run starts from, whatever it is."""

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid
from full4d_jax.source import capture_source, dataset_view, options, two_videos, video_source


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
