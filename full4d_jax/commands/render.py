"""Write videos, an offline page and PLY files of a scene: the last part of `run`."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.scene.options import RenderOptions
from full4d_jax.source.kinds import RUN, require_kind
from full4d_jax.source.options import Named


def render(
    *,
    source: Annotated[Path, Named] = Path("out"),
    show: Annotated[RenderOptions, tyro.conf.arg(name="")],
) -> None:
    """Show the scene that `lift` left in a folder: writes orbit.mp4, bullet.mp4 and scene.html.

    Args:
      source: the folder of a run, with scene.npz; left out, `out`.
      show: how the scene is shown.
    """
    require_kind(source, (RUN,))
    from full4d_jax import pipeline

    pipeline.render(source, show)
