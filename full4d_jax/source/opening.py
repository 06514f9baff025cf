"""One way to open what a run starts from, whatever it is, and the stage that does."""

from typing import Any

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid, grid_arrays, grid_from
from full4d_jax.session.extras import has
from full4d_jax.session.stages import Stages
from full4d_jax.source import capture_source, dataset_view, options, two_videos, video_source
from input_pipeline.importers.camera_path import path_files


def open_source(data: DataConfig, source: options.SampleOptions | options.LiftOptions) -> Grid:
    """Open what a run starts from, whatever it is.

    Raises:
      InputError: The video, data set or capture is unusable.
    """
    match source:
        case options.VideoOptions():
            return video_source.open_video(data, source)
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


def run_source(stages: Stages, data: DataConfig, source: options.SampleOptions) -> Grid:
    """Run the stage source: open what the run starts from."""
    settings = opening_settings(data, source)
    if settings.get("video") == options.CLIP:
        stages.say(f"clip: {options.CLIP.with_suffix('.txt').read_text().splitlines()[0]}")
    grid = grid_from(stages.run("source", settings, lambda: grid_arrays(open_source(data, source))))
    stages.say(f"source: {grid.about.note}")
    return grid


def keep_capture(stages: Stages, grid: Grid) -> None:
    """Run the stage grid of a capture, whose frames are all there."""
    arrays = grid_arrays(grid)
    # Notes and warnings name files, on which no scene depends.
    inputs = {name: array for name, array in arrays.items() if name not in ("note", "warning")}
    stages.run("grid", inputs, lambda: arrays)
