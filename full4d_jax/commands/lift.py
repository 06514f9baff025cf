"""Fit 4D Gaussians to a grid of views or to a capture: the middle part of `run`."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.config.experiment import Quality
from full4d_jax.session.errors import InputError
from full4d_jax.session.help_text import Shown
from full4d_jax.session.processes import ALONE, ProcessOptions, check_processes
from full4d_jax.source.options import GridOptions, LiftOptions


def lift(
    config: Annotated[Config, tyro.conf.arg(name=""), Shown(("seed", "lift"))],
    *,
    source: Annotated[LiftOptions, tyro.conf.arg(name="")],
    out: Path | None = None,
    checkpoint: Path | None = None,
    quality: Annotated[Quality | None, tyro.conf.arg(metavar="{draft,normal,high}")] = None,
    several: Annotated[ProcessOptions, tyro.conf.arg(name="")] = ALONE,
) -> None:
    """Fit a scene to the grid in the folder of a run, or to a capture: writes scene.npz.

    `full4d render` then makes videos and a page of it.

    Args:
      config: the experiment; `--lift.` options say how to fit.
      source: the folder that `sample` left, a capture or a data set's clip.
      out: the folder for everything of a capture or a clip; left out, `out`.
      checkpoint: weights of the prior, for distillation; left out, those in the package. Not read
        where nothing is distilled.
      quality: how long to fit, and how many Gaussians; left out, normal.
      several: the other processes on whose devices the prior lies; the first alone fits and writes.
    """
    check_processes(several)
    if isinstance(source, GridOptions):
        if out is not None:
            expected = "none: the scene is written beside the grid"
            raise InputError("option", "--out", out, expected, f"write full4d lift {out}")
        out = source.folder
    from full4d_jax import pipeline
    from full4d_jax.generation.several_processes import make_together

    if quality is not None:
        config = replace(config, lift=replace(config.lift, quality=quality))

    work = partial(pipeline.lift, config, out or Path("out"), source, checkpoint)
    make_together(several, config, checkpoint, work)
