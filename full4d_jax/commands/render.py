"""Write videos, an offline page and PLY files of a scene: the last part of `run`."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.scene.options import RenderOptions


def render(
    *,
    out: Path = Path("out"),
    show: Annotated[RenderOptions, tyro.conf.arg(name="")],
) -> None:
    """Show the scene that `lift` left in a folder: writes orbit.mp4, bullet.mp4 and scene.html.

    Args:
      out: the folder with scene.npz.
      show: how the scene is shown.
    """
    from full4d_jax import pipeline

    pipeline.render(out, show)
