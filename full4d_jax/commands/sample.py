"""One video in, a synchronized grid of views out: the first part of `run`.

Or, with a model without poses, two videos in: one row and one column of the grid.
"""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.session.options import Shot


def sample(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path = Path("out"),
    shot: Annotated[Shot, tyro.conf.arg(name="")],
) -> None:
    """Depth, projection and the prior: writes grid.npz, grid.mp4 and grid.png.

    Args:
      config: the experiment.
      out: the folder for everything.
      shot: the video and the cameras.
    """
    if config.model.projection == "none":
        from full4d_jax.grid_pipeline import sample_grid

        sample_grid(config, out, shot)
    else:
        from full4d_jax import pipeline

        pipeline.sample(config, out, shot)
