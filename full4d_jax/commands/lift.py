"""Fit 4D Gaussians to a grid of views or to a capture: the middle part of `run`."""

from pathlib import Path
from typing import Annotated

from full4d_jax.config import Config
from full4d_jax.session import fields, processes
from full4d_jax.source.options import GridOptions, LiftOptions, Several


def lift(
    config: Annotated[Config, fields.Shown(("seed", "lift"))],
    *,
    source: LiftOptions,
    out: Path | None = None,
    checkpoint: Path | None = None,
    several: Several = processes.ALONE,
) -> None:
    """Fit a scene to the grid in the folder of a run, or to a capture: writes scene.npz.

    `full4d render` then makes videos and a page of it.

    Args:
      config: the experiment; `--lift.` options say how to fit.
      source: the folder that `sample` left, a capture or a data set's clip.
      out: the folder for everything of a capture or a clip; by default `out`.
      checkpoint: weights of the prior, for distillation; by default those in the package. Not read
        where nothing is distilled.
      several: the other processes on whose devices the prior lies; the first alone fits and writes.
    """
    if isinstance(source, GridOptions):
        fields.refuse({"out": out}, "none: the scene is written to SOURCE")
        out = source.folder
    from full4d_jax import pipeline

    with processes.output_of(several, out or Path("out")) as folder:
        pipeline.lift(config, folder, source, checkpoint)
