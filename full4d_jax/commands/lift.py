"""A grid of views in, 4D Gaussians out: the middle part of `run`."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config


def lift(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path = Path("out"),
    checkpoint: Path | None = None,
) -> None:
    """Fit a scene to the grid that `sample` left in a folder: writes scene.npz.

    Args:
      config: the experiment; `--lift.` options say how to fit.
      out: the folder with grid.npz.
      checkpoint: weights of the prior, for distillation; left out, those in the package.
    """
    from full4d_jax import pipeline

    pipeline.lift(config, out, checkpoint)
