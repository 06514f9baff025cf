"""Make a synchronized grid of views of one video, or fill one from two: the first part of `run`."""

from pathlib import Path
from typing import Annotated

from full4d_jax.config import SIZES, Config
from full4d_jax.session import fields, processes
from full4d_jax.source.options import SampleOptions, Several


def sample(
    config: Annotated[
        Config,
        fields.Shown(
            ("seed", "codec_weights", "text", "negative_text", *SIZES, "sampler")
        ),
    ],
    *,
    source: SampleOptions,
    out: Path = Path("out"),
    checkpoint: Path | None = None,
    several: Several = processes.ALONE,
) -> None:
    """Make a grid of views: writes grid.npz, grid.mp4 and grid.png.

    A model with poses estimates depth, projects the video into the target views and completes
    these. A model without poses (--config four_real) fills the grid from its first row and first
    column.

    Args:
      config: the experiment.
      source: the video and the cameras.
      out: the folder for everything.
      checkpoint: weights of the prior; by default those in the package.
      several: the other processes on whose devices the mesh lies; the first alone writes.
    """
    from full4d_jax import pipeline
    from full4d_jax.generation.prior import check_shares

    if several.are_several:
        check_shares(config)
    with processes.output_of(several, out) as folder:
        pipeline.sample(config, folder, source, checkpoint)
