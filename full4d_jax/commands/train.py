"""Train the multi-view prior, or another network that a config describes."""

from pathlib import Path
from typing import Annotated

import tyro

from full4d_jax.config import Config, check_config
from full4d_jax.depth_config import DepthConfig


def train(
    config: Annotated[Config | DepthConfig, tyro.conf.arg(name="")],
    *,
    out: Path | None = None,
    init: Path | None = None,
) -> None:
    """Train CONFIG; a run whose folder has checkpoints goes on where it stopped.

    Args:
      out: folder for checkpoints, metrics, weights and the sheet; runs/NAME by default.
      init: weights (.safetensors) to start from, with a new optimizer at step 0.
    """
    check_config(config)
    from full4d_jax.stages import open_folder

    out = open_folder(out or Path("runs") / config.name)
    if isinstance(config, DepthConfig):
        from full4d_jax.training.depth_training import train_depth

        train_depth(config, out, init)
    else:
        from full4d_jax.training.prior import train_prior

        train_prior(config, out, init)
