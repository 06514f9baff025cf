"""One video in, a 4D scene out: grid of views, 4D Gaussians, videos and an offline page."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.session.options import Look, Shot


def run(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path = Path("out"),
    shot: Annotated[Shot, tyro.conf.arg(name="")],
    look: Annotated[Look, tyro.conf.arg(name="")],
) -> None:
    """One video in, a 4D scene out; running again continues after the last finished stage.

    Args:
      config: the experiment.
      out: the folder for everything.
      shot: the video and the cameras.
      look: how the scene is shown.
    """
    from full4d_jax import pipeline

    pipeline.run(config, None, out, shot=shot, look=look)
