"""Where the target cameras of a run stand, and how they look once the source's depth is known."""

from dataclasses import replace
from typing import get_args

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.config import DataConfig
from full4d_jax.grid import Grid, with_missing
from full4d_jax.session.errors import InputError
from full4d_jax.source import options
from full4d_jax.source.camera_paths import (
    Preset,
    TargetCameras,
    around_upright,
    following,
    grid_cameras,
    look_at_subject,
    range_warning,
    read_targets,
    subject_depth,
)
from full4d_jax.source.depth.lines import camera_up
from full4d_jax.source.handheld.path_scale import seen_from_first
from gaussians.fitting.stillness import camera_moves


def aim(
    targets: TargetCameras, path: options.PathOptions, source: Grid, depth: Float[ndarray, "t h w"]
) -> tuple[TargetCameras, str]:
    """Return the target cameras, and a sentence about where they look; those of a file stay.

    Those of a preset go around an upright axis and look at what moves in the source. With `follow`
    all move with its camera.
    """
    assert source.cameras is not None, "targets stand beside a camera"
    parts = []
    if path.path in get_args(Preset):
        distance = subject_depth(*seen_from_first(source, np.asarray(depth)))
        parts.append(f"look at depth {distance:.2f} (1 = the scene's median)")
        rests = not camera_moves(source.cameras.world_to_camera[0])
        frames = source.frames[0] if rests else source.frames[0, :1]
        up = camera_up(frames, np.asarray(source.cameras.intrinsics[0], np.float64))
        if up is not None:
            targets = around_upright(targets, up)
        targets = look_at_subject(targets, distance)
    if path.follow:
        parts.append("move with the source's")
        targets = following(targets, source.cameras)
    return targets, " and ".join(parts)


def read_target_cameras(source: options.SampleOptions, size: DataConfig) -> TargetCameras | None:
    """Return the target cameras that options choose; None where the source comes with its own.

    Raises:
      InputError: The file of cameras is unusable, or has other views than are asked for.
    """
    if source.cameras is None:
        return None
    source.measured.check()
    targets = read_targets(source.cameras, size)
    views = 1 + len(targets.world_to_camera)
    if source.size.views not in (None, views):
        expected = f"{views}, as --path has"
        raise InputError("option", "--views", source.size.views, expected, "leave one of them out")
    return targets


def with_targets(
    grid: Grid, targets: TargetCameras, source: options.SampleOptions
) -> tuple[Grid, str]:
    """Return the grid of a source with missing views at the target cameras, and where they look."""
    assert source.cameras is not None, "target cameras come with options for them"
    assert grid.cameras is not None, "targets stand beside a camera"
    assert grid.depth is not None, "targets look at what is at some depth"
    targets, note = aim(targets, source.cameras, grid, grid.depth[0])
    note = f"they {note}" if note else "those of the file"
    return with_missing(grid, grid_cameras(grid.cameras, targets)), note


def with_range_warning(grid: Grid, trained: tuple[float, float]) -> Grid:
    """Return a grid that warns of cameras beyond what its prior was trained on.

    Args:
      grid: with all cameras.
      trained: the largest azimuth and elevation of the prior's training, degrees.
    """
    assert grid.cameras is not None, "such a prior makes views at known cameras"
    warning = range_warning(np.asarray(grid.cameras.world_to_camera), *trained)
    warnings = "\n".join(line for line in (grid.about.warning, warning) if line)
    return replace(grid, about=replace(grid.about, warning=warnings))
