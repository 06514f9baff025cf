"""Write videos, an offline page and PLY files of a scene: the last part of `run`."""

from pathlib import Path
from typing import Annotated

from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.source import kinds, options


def render(
    *,
    source: options.SourcePath = Path("out"),
    path: Path | None = None,
    show: Annotated[RenderOptions, options.Flat],
) -> None:
    """Show the scene that `lift` left in a folder: writes orbit.mp4, bullet.mp4 and scene.html.

    Args:
      source: the folder of a run, with scene.npz; by default `out`.
      path: a camera path to video, as path.mp4 and nothing else: JSON of ours, as the page exports,
        nerfstudio's camera_path.json or transforms.json, or a COLMAP model (docs/cameras.md).
      show: how the scene is shown.
    """
    kinds.require_kind(source, (kinds.RUN,))
    from full4d_jax import pipeline

    pipeline.render(source, show, path)
