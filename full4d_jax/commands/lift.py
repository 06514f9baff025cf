"""A grid of views or a capture in, 4D Gaussians out: the middle part of `run`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config
from full4d_jax.session.errors import InputError


def lift(
    config: Annotated[Config, tyro.conf.arg(name="")],
    *,
    out: Path = Path("out"),
    checkpoint: Path | None = None,
    capture: Path | None = None,
    dataset: Path | None = None,
    split: str | None = None,
    clip: int | None = None,
    views: tuple[int, ...] = (),
) -> None:
    """Fit a scene to the grid that `sample` left in a folder, or to a capture: writes scene.npz.

    `full4d render` then makes videos and a page of it.

    Args:
      config: the experiment; `--lift.` options say how to fit.
      out: the folder with grid.npz, and for scene.npz.
      checkpoint: weights of the prior, for distillation; left out, those in the package. Not read
        where nothing is distilled.
      capture: synchronized pictures of several calibrated cameras, an .npz with frames
        (v t h w 3) uint8, intrinsics (v 3 3), world_to_camera (v 4 4) or (v t 4 4), and if known
        depth (v t h w), see docs/fitting.md; the prior is not asked.
      dataset: in the place of a capture, a clip of a dataset that `full4d data import` made.
      split: of the dataset; `train` by default.
      clip: its number in the split; the first by default.
      views: which of its views; left out, all. `full4d evaluate --scene OUT --truth DATASET` then
        says how the others look.
    """
    chosen = {"split": split, "clip": clip, "views": views or None}
    given = {name: value for name, value in chosen.items() if value is not None}
    for name, value in given.items() if dataset is None else ():
        do = "add it, or leave this out"
        raise InputError("option", f"--{name}", value, "a --dataset beside it", do)
    if dataset and capture:
        expected = "no --dataset beside it"
        raise InputError("option", "--capture", capture, expected, "leave one of them out")
    from full4d_jax import pipeline
    from full4d_jax.source import captures

    take = None
    if capture:
        take = partial(captures.take_capture, path=capture)
    if dataset:
        take = partial(captures.take_clip, dataset=dataset, **given)
    pipeline.lift(config, out, checkpoint, take)
