"""One way to open what a run starts from, whatever it is, and the stage that does."""

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid, grid_arrays, grid_from
from full4d_jax.session.stages import Stages
from full4d_jax.source import (
    capture_source,
    dataset_view,
    depth_stage,
    options,
    row_and_column,
    video_source,
)
from full4d_jax.source.depth.any_network import AnyNetwork
from full4d_jax.source.kinds import SourceOptions
from input_pipeline.importers.camera_path import path_files


def open_source(
    data: DataConfig, source: SourceOptions, network: AnyNetwork | None = None
) -> Grid:
    """Open what a run starts from, whatever it is.

    Args:
      data: the size, the usual rate, and the world of procedural scenes.
      source: what it is.
      network: estimates depth of videos; None is ours.

    Raises:
      InputError: The video, data set or capture is unusable.
    """
    match source:
        case options.VideoOptions():
            return video_source.open_video_source(data.size, source, data.fps, network)
        case options.DemoOptions():
            return video_source.open_demo(data.size, source)
        case options.DatasetViewOptions():
            return dataset_view.open_dataset_view(data.size, source, data.fps)
        case options.TwoVideosOptions():
            return row_and_column.open_two_videos(data.size, source, data.fps, network)
        case options.DemoGridOptions():
            return row_and_column.open_demo_grid(data, source)
        case options.DatasetClipOptions():
            return capture_source.open_dataset_clip(source)
        case options.CaptureOptions():
            return capture_source.open_capture(source)
    raise TypeError(f"nothing opens {type(source).__name__}")


def run_source(
    stages: Stages,
    data: DataConfig,
    source: options.SampleOptions,
    depth: depth_stage.DepthInputs | None = None,
) -> Grid:
    """Run the stage source: open what the run starts from.

    The path of a video's camera, and its lens, are found by the network of `depth`.
    """
    # Stages read these; the size is in `data`.
    later = ("cameras", "measured", "size")
    own = vars(source).items()
    settings = {name: value for name, value in own if name not in later}
    settings |= {"way": type(source).__name__, "data": data}
    match source:
        case options.VideoOptions() | options.TwoVideosOptions():
            settings["poses"] = path_files(source.poses) if source.poses else []
            settings["net"] = depth and [depth.settings[x] for x in ("net", "kind")]
        case options.DemoOptions() | options.DatasetViewOptions():
            settings["knows_depth"] = source.measured.depth_network is None
    if isinstance(source, options.DatasetViewOptions):
        split = capture_source.open_split(source.dataset, source.split)
        settings["content"] = split.content
    if isinstance(source, options.VideoOptions) and source.video == options.CLIP:
        credit = options.CLIP.with_suffix(".txt").read_text()
        stages.say(f"clip: {credit.splitlines()[0]}")
    network = depth and depth.network
    arrays = stages.run(
        "source", settings, lambda: grid_arrays(open_source(data, source, network))
    )
    grid = grid_from(arrays)
    stages.say(f"source: {grid.about.note}")
    return grid


def keep_capture(stages: Stages, grid: Grid) -> None:
    """Run the stage grid of a capture, whose frames are all there."""
    stages.say(f"source: {grid.about.note}")
    arrays = grid_arrays(grid)
    # Notes and warnings name files, on which no scene depends.
    said = ("note", "warning")
    inputs = {name: array for name, array in arrays.items() if name not in said}
    stages.run("grid", inputs, lambda: arrays)
