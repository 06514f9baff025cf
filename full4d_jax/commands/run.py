"""Make a 4D scene of a video, two, or a capture: 4D Gaussians, videos and an offline page."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.config.experiment import Quality
from full4d_jax.scene.show_options import RenderOptions
from full4d_jax.session.help_text import Shown
from full4d_jax.source.options import RunOptions

FIELDS = "seed", "sampler", "lift"
LARGE = "sampler.offload", "lift.distilled_views", "lift.distilled_frames"  # for large models


def run(
    config: Annotated[Config, tyro.conf.arg(name=""), Shown(FIELDS, but=LARGE)],
    *,
    source: Annotated[RunOptions, tyro.conf.arg(name="")],
    out: Path = Path("out"),
    checkpoint: Path | None = None,
    quality: Annotated[Quality | None, tyro.conf.arg(metavar="{draft,normal,high}")] = None,
    show: Annotated[RenderOptions, tyro.conf.arg(name="")],
) -> None:
    """Make a 4D scene of a video or a capture; run again to go on where it ended.

    A model without poses (--config four_real) takes two videos instead.

    Args:
      config: the experiment.
      source: the video and the cameras, or a capture.
      out: the folder for everything.
      checkpoint: weights of the prior; left out, those in the package.
      show: how the scene is shown.
      quality: how long to fit, and how many Gaussians; left out, normal.
    """
    from full4d_jax import pipeline

    if quality is not None:
        config = replace(config, lift=replace(config.lift, quality=quality))

    pipeline.run(config, None, out, source=source, checkpoint=checkpoint, show=show)
