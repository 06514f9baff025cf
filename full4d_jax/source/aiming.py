"""Where the target cameras of a run stand, and how they look once the source's depth is known."""

from dataclasses import replace

import numpy as np

from full4d_jax.config import Size
from full4d_jax.grid import Grid, with_missing
from full4d_jax.session.fields import require_option
from full4d_jax.source import camera_paths, options
from full4d_jax.source.depth.lines import camera_up
from full4d_jax.source.handheld.path_scale import source_moves
from full4d_jax.source.own_motion import passing_in


def read_target_cameras(
    source: options.SampleOptions, size: Size
) -> camera_paths.TargetCameras | None:
    """Return the target cameras that options choose; None where the source comes with its own.

    Raises:
      InputError: The file of cameras is unusable, or has other views than are asked for.
    """
    if source.cameras is None:
        return None
    targets = camera_paths.read_targets(source.cameras, size)
    views = 1 + len(targets.world_to_camera)
    wanted = source.size.views
    fits = wanted in (None, views)
    require_option("views", wanted, fits, f"{views}, as --path has")
    return targets


def with_targets(
    grid: Grid, targets: camera_paths.TargetCameras, path: options.PathOptions
) -> tuple[Grid, str]:
    """Return the grid of a source with missing views at the target cameras, and where they look.

    Those of a preset go around an upright axis, look at what moves in the source, and move with its
    camera; those of a file stay.
    """
    cameras = grid.known_cameras
    note = "those of the file"
    if path.path in camera_paths.PRESETS:
        passing = passing_in(grid, camera_paths.MOVED_LEVELS)
        depth = np.asarray(grid.known_depth[0])
        distance = camera_paths.subject_depth(depth, passing)
        note = f"they look at depth {distance:.2f} (1 = the scene's median)"
        frames = grid.frames[0, :1] if source_moves(grid) else grid.frames[0]
        up = camera_up(frames, np.asarray(cameras.intrinsics[0], np.float64))
        if up is not None:
            targets = camera_paths.around_upright(targets, up)
        targets = camera_paths.look_at_subject(targets, distance)
        if source_moves(grid):
            note += " and move with the source's"
        targets = camera_paths.following(targets, cameras)
    return with_missing(grid, camera_paths.grid_cameras(cameras, targets)), note


def with_range_warning(grid: Grid, trained: tuple[float, float]) -> Grid:
    """Return a grid that warns of cameras beyond what its prior was trained on.

    Args:
      grid: with all cameras.
      trained: the largest azimuth and elevation of the prior's training, degrees.
    """
    poses = np.asarray(grid.known_cameras.world_to_camera)
    warning = camera_paths.range_warning(poses, *trained)
    warnings = "\n".join(filter(None, (grid.about.warning, warning)))
    return replace(grid, about=replace(grid.about, warning=warnings))
