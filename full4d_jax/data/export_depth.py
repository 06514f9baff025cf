"""Write the depth of a video or picture as a file for `full4d run --depth`."""

import shlex
from pathlib import Path

import numpy as np

from full4d_jax import config, grid
from full4d_jax.geometry.arrays import Maps
from full4d_jax.media.pictures import Sheet, color_depth, contact_sheet, save_picture
from full4d_jax.session import errors, fields, files
from full4d_jax.source import depth_stage, options, video_source
from full4d_jax.source.depth import any_network, file_network
from full4d_jax.source.size import size_of_result
from input_pipeline.selection import evenly
from input_pipeline.whole_files import whole_file


def write_video_depth(video: options.VideoOptions, out: Path) -> None:
    """Write z-depth (t h w) of the frames that `run` takes, and a picture of it.

    Smeared edges are unknown, 0, as `run` leaves them out.

    Raises:
      InputError: An option, the video, the network or the name is unusable.
    """
    fields.check_fields(video)
    errors.require_ending(out, ".npy")
    network = any_network.open_network(
        video.measured.depth_network, video.measured.depth_kind
    )
    size = size_of_result(config.DEFAULT, video, enlarged=True)
    usual = config.DEFAULT.data.fps
    source = video_source.open_video_source(size, video, usual, network)
    files.open_folder(out.parent)
    errors.log(f"source: {source.about.note}")
    if source.about.warning:
        errors.log(f"warning: {source.about.warning}")
    if isinstance(network, file_network.FileNetwork):
        print(network.description)
    measured = depth_stage.measure_depth(source, network)
    metres = measured.metres
    if measured.measured_share:
        print(depth_stage.describe_measured(measured.measured_share))
    unit = "world units, the median is 1 at t = 0" if metres is None else "metres"
    # The first frame without its smeared edges has another median.
    first = measured.depth[0]
    scale = 1 / np.median(first[first > 0]) if metres is None else metres
    depth = (measured.depth * scale).astype(np.float32)
    with whole_file(out) as partial:
        np.save(partial, depth)
    picture = out.with_suffix(".png")
    save_picture(picture, _sheet(source, depth))
    t, h, w = depth.shape
    print(f"depth: {out}, {t} x {h} x {w}, {unit}; picture: {picture}")
    print(f"next: {_next(video, out)}")


def _sheet(source: grid.Grid, depth: Maps) -> Sheet:
    """Draw some frames above their depth."""
    most_instants = 6
    shown = evenly(len(depth), most_instants)
    rows = np.stack([source.frames[0, shown], color_depth(depth[shown])])
    columns = [f"{source.times[i]:.2f} s" for i in shown]
    return contact_sheet(rows, rows=["frame", "depth"], columns=columns)


def _next(video: options.VideoOptions, out: Path) -> str:
    """Return the command that takes the depth of these frames."""
    excerpt = {
        "start": video.start or None,
        "seconds": video.size.seconds,
        "fps": video.fps,
    }
    excerpt |= {"rows": video.size.rows, "fov": video.fov}
    words = ["full4d", "run", str(video.video), "--depth", str(out)]
    for name, value in excerpt.items():
        words += [f"--{name}", f"{value:g}"] if value is not None else []
    words += ["--poses", str(video.poses)] if video.poses is not None else []
    return shlex.join(words)
