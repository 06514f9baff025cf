"""A grid of views or a capture in, 4D Gaussians out: the middle part of `run`."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config


def lift(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path = Path("out"),
    checkpoint: Path | None = None,
    capture: Path | None = None,
) -> None:
    """Fit a scene to the grid that `sample` left in a folder, or to a capture: writes scene.npz.

    `full4d render` then makes videos and a page of it.

    Args:
      config: the experiment; `--lift.` options say how to fit.
      out: the folder with grid.npz, and for scene.npz.
      checkpoint: weights of the prior, for distillation; left out, those in the package. Not read
        where nothing is distilled.
      capture: synchronized pictures of several calibrated cameras, an .npz with frames
        (v t h w 3) uint8, intrinsics (v 3 3), world_to_camera (v 4 4) or (v t 4 4), and if known
        depth (v t h w), see docs/fitting.md; the prior is not asked.
    """
    from full4d_jax import pipeline

    pipeline.lift(config, out, checkpoint, capture)
