"""A clip of a still scene against itself: what is made of its first frame, and its later frames.

The clip's path and its unit are found as for any source that moves (`source.handheld`): the truth
has no part in the source's depth but for the sparse points, which settle the scale of both, and the
shift of its disparity.

Frames in one range of angles from the source are a group of `prior_rows.score_clips`. The rows are
those around any source, and the cascade, which is what `full4d sample` makes of a video of this one
frame at these cameras.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from full4d_jax.cameras import Cameras
from full4d_jax.config import DEFAULT, Config
from full4d_jax.evaluation.fidelity import ClipRows, compare
from full4d_jax.evaluation.prior_rows import Judge, score_clips
from full4d_jax.evaluation.table import CASCADE
from full4d_jax.generation import cascade
from full4d_jax.geometry.depth_maps import drop_depth_edges
from full4d_jax.grid import Grid, all_real, points_in, seen_in
from full4d_jax.media.pictures import to_model, to_unit
from full4d_jax.session import errors, fields
from full4d_jax.source import size, video_source
from full4d_jax.source.depth.any_network import AnyNetwork, source_depth
from full4d_jax.source.handheld import path_scale
from full4d_jax.source.options import VideoOptions
from input_pipeline.depth_alignment import MIN_MATCHES, SparseDepth
from input_pipeline.importers.camera_path import path_files
from input_pipeline.pinhole import centers
from input_pipeline.plain_files import check_field

# Degrees from the source, from one to another; a frame beyond all is left out.
RANGES = ((0, 5), (5, 10), (10, 20), (20, 30))


def open_upsampler(config: Config, rows: int | None) -> cascade.Upsampler:
    """Open our upsampler for frames of so many rows.

    Raises:
      InputError: it does not enlarge this prior's, or the frames are no larger.
    """
    upsampler = cascade.load_upsampler()
    least = upsampler.prior_rows
    found = f"{config.model.codec} at {config.data.height} rows"
    fits = (config.model.codec, config.data.height) == ("pixels", least)
    expected = f"pixels at {least} rows, which the upsampler enlarges"
    fields.require_option("config", found, fits, expected)
    fits = rows is None or rows > least
    fields.require_option("rows", rows, fits, f"more than the prior's {least}")
    return upsampler


def open_film(
    config: Config, options: VideoOptions, network: AnyNetwork
) -> tuple[Grid, Float[np.ndarray, " k"]]:
    """Read a video, and estimate the depth of its first frame.

    Returns:
      The grid of one instant, in world units: view 0 is the source, which has depth, the others are
      later frames, the truth. And the degrees between the source's camera and that of each later
      frame, seen from the scene.

    Raises:
      InputError: it is unusable, or its camera's path is unknown.
    """
    larger = size.size_of_result(config, options, enlarged=True)
    source = video_source.open_video_source(larger, options, config.data.fps, network)
    widest = RANGES[-1][-1]
    with errors.input_errors("video", "give --poses, or another --start"):
        points = points_in(source)
        if points is None:
            found = source.about.warning or "a camera that stays in its place"
            expected = "one that goes past a still scene"
            raise ValueError(f"{options.video}: found {found}, expected {expected}")
        # Of the points, those alone that the first frame sees.
        first = SparseDepth(*(values[points.instants == 0] for values in points))
        count = len(first.depth)
        found = f"{count} points in the first frame whose depth the path tells"
        expected = f"at least {MIN_MATCHES}"
        check_field(options.video, count >= MIN_MATCHES, found, expected)
        # The scene is on the first camera's axis, at the median depth of the still points: no depth
        # network has a part in it.
        poses = np.asarray(source.known_cameras.world_to_camera[0], np.float64)
        rays = centers(poses) - np.array([0.0, 0.0, float(np.median(first.depth))])
        rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
        angles = np.degrees(np.arccos(np.clip(rays @ rays[0], -1, 1)))
        later = 1 + np.flatnonzero(angles[1:] < widest)
        expected = f"one within {widest} degrees of the first"
        check_field(options.video, later.size, "no later frame", expected)
    # Depth and path get one unit.
    start = to_model(source.frames[0, :1])
    known = np.asarray(source_depth(network, start, still=False))
    source = replace(source, points=seen_in(0, first), estimate=None)
    settled, unit = path_scale.settle_scale(source, known, estimated=True)
    depth = np.asarray(drop_depth_edges(jnp.asarray(settled)))
    cameras = path_scale.in_unit(source, unit).known_cameras
    chosen = [0, *later]
    frames = source.frames[0, chosen, None]
    lenses = np.repeat(np.asarray(cameras.intrinsics), len(chosen), 0)
    poses = np.asarray(cameras.world_to_camera)[0, chosen, None]
    grid = Grid(
        frames=frames,
        origin=all_real(frames),
        times=source.times[:1],
        cameras=Cameras(lenses, poses, *frames.shape[2:4]),
        depth=depth[:1, None],
        about=source.about,
    )
    return grid, angles[later]


def evaluate_film(judge: Judge, folder: Path, options: VideoOptions) -> None:
    """Score a clip, frame by frame, and write the page.

    Args:
      judge: the models under evaluation.
      folder: for the results.
      options: the clip, its poses and its size.

    Raises:
      InputError: the clip is unusable, or the folder holds another evaluation.
    """
    upsampler = open_upsampler(judge.config, options.size.rows)
    files = [options.video, *(path_files(options.poses) if options.poses else [])]
    clips = {"clip": files, "upsampler": upsampler.path, "ranges": RANGES}
    clips |= {"start": options.start, "fov": options.fov, "size": options.size}
    grid, angles = open_film(judge.config, options, judge.depth)
    # Rows are made once, where some frame has no scores yet.
    filled = cache(lambda: rows_of_film(judge, upsampler, grid))

    def rows_of(number: int) -> ClipRows:
        clip = filled().part(np.arange(len(angles))[:, None] == number)
        return clip._replace(details={"angle": float(angles[number])})

    groups = {
        f"{low}-{high}°": np.flatnonzero((low <= angles) & (angles < high)).tolist()
        for low, high in RANGES
    }
    preface = (
        f"The source is the first frame of `{options.video.stem}`, the truth are {len(angles)} "
        f"later ones: {grid.about.note}. Groups are ranges of the angle between the cameras, seen "
        "from the scene. A pixel is seen where the source's projection by its estimated depth "
        f"(network: {judge.depth_name}) has a point."
    )
    score_clips(judge, folder, groups, rows_of, clips, preface)


def rows_of_film(judge: Judge, upsampler: cascade.Upsampler, grid: Grid) -> ClipRows:
    """Make the frames of every row at the cameras of the truth."""
    depth = jnp.asarray(grid.known_depth)
    clip = compare(grid, {judge.depth_name: depth[0]})
    unseen = clip.regions["_unseen"]
    cameras = jax.tree.map(jnp.asarray, grid.known_cameras)
    prior = cascade.in_parts(judge.prior, DEFAULT.data.size)
    key = jax.random.key(judge.config.seed)
    source = to_model(grid.frames[:1])
    made, _ = cascade.generate_large(prior, upsampler, source, depth, cameras, key)
    rows = dict(clip.rows) | {(CASCADE, judge.depth_name): to_unit(made[1:])}
    return clip._replace(rows=rows, regions={"_unseen": unseen, "_seen": 1 - unseen})
