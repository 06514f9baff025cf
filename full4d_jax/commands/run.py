"""Make a 4D scene of a video, two, or a capture: 4D Gaussians, videos and an offline page."""

from pathlib import Path
from typing import Annotated

from full4d_jax.config import Config
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session.fields import Shown
from full4d_jax.source.options import Flat, RunOptions


def run(
    config: Annotated[Config, Shown(("seed", "sampler", "lift"))],
    *,
    source: RunOptions,
    out: Path = Path("out"),
    checkpoint: Path | None = None,
    show: Annotated[RenderOptions, Flat],
) -> None:
    """Make a 4D scene of a video or a capture; run again to resume.

    What SOURCE is decides on the options: give it before --help. A model without poses (--config
    four_real) takes two videos instead.

    Args:
      config: the experiment.
      source: the video and the cameras, or a capture.
      out: the folder for everything.
      checkpoint: weights of the prior; by default those in the package.
      show: how the scene is shown.
    """
    from full4d_jax import pipeline

    pipeline.run(config, None, out, source=source, checkpoint=checkpoint, show=show)
