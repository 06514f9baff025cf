"""Train the multi-view prior."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from full4d_jax.config import Config, check_config
from full4d_jax.session import errors, fields, processes
from full4d_jax.source.options import Several

TRAINED = ("name", "seed", "codec_weights", "text", "negative_text")
TRAINED += ("model", "data", "flow", "optimizer", "training", "mesh")


def train(
    config: Annotated[Config, fields.Shown(TRAINED)],
    *,
    out: Path | None = None,
    init: Path | None = None,
    profile: str = "",
    several: Several = processes.ALONE,
) -> None:
    """Train the prior of a config; resume if the folder has checkpoints.

    Args:
      out: folder for checkpoints, metrics, weights and sheets; runs/NAME by default.
      init: weights (.safetensors) to start from, with a new optimizer at step 0.
      profile: A:B writes an xprof trace of steps A to B into the folder.
      several: the other processes of the run.
    """
    check_config(config)
    from full4d_jax.session import files
    from full4d_jax.session.buckets import origin
    from full4d_jax.session.machine import disk_errors
    from full4d_jax.training.checkpoints.places import check_file_system

    steps = _steps_of(profile, config.training.steps) if profile else None
    out = out or Path("runs") / config.name
    processes.check_processes(several)
    # Orbax writes checkpoints to gs:// by itself; the rest is copied there at the end.
    address = origin(out)
    if address.startswith("gs://") and not config.training.checkpoints:
        place = replace(config.training, checkpoints=f"{address}/checkpoints")
        config = replace(config, training=place)
    elif address and several.are_several and not config.training.checkpoints:
        expected = "gs://, or --training.checkpoints in a folder that all processes see"
        do = "give it: Orbax does not write s3://"
        raise errors.InputError("output folder", address, "s3://", expected, do)
    check_file_system(config.training.checkpoints)
    files.open_folder(out)
    if several.are_several:
        processes.join_processes(several)
    # The processes of a cluster write one run together; the first holds the folder for all.
    if processes.is_first_process():
        files.hold_folder(out)
    from full4d_jax.training.prior_training import train_prior

    with disk_errors(out):
        train_prior(config, out, init, steps)


def _steps_of(profile: str, last: int) -> tuple[int, int]:
    """Return the first and the last step of A:B, in a run of `last` steps; raises InputError."""
    first, _, end = profile.partition(":")
    fits = first.isdecimal() and end.isdecimal() and 1 <= int(first) <= int(end) <= last
    expected = f"A:B with 1 <= A <= B <= {last} (training.steps), e.g. 10:12"
    fields.require_option("profile", profile, fits, expected)
    return int(first), int(end)
