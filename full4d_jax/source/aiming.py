"""Where the target cameras of a run stand, once the depth of its source is known."""

from typing import get_args

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from full4d_jax.grid import Grid
from full4d_jax.source.camera_paths import (
    Preset,
    TargetCameras,
    following,
    look_at_subject,
    subject_depth,
)
from full4d_jax.source.handheld.path_scale import seen_from_first
from full4d_jax.source.options import PathOptions


def aim(
    targets: TargetCameras, options: PathOptions, source: Grid, depth: Float[ndarray, "t h w"]
) -> tuple[TargetCameras, str]:
    """Return the target cameras, and a sentence about where they look; those of a file stay.

    Those of a preset look at what moves in the source. With `follow` all move with its camera.
    """
    assert source.cameras is not None, "targets stand beside a camera"
    said = []
    if options.path in get_args(Preset):
        distance = subject_depth(*seen_from_first(source, np.asarray(depth)))
        said.append(f"look at depth {distance:.2f} (1 = the scene's median)")
        targets = look_at_subject(targets, distance)
    if options.follow:
        said.append("move with the source's")
        targets = following(targets, source.cameras)
    return targets, " and ".join(said)
