"""Presets: Python files (see `configs/`) whose `config` is an experiment.

The docstring of a preset is its lab notebook.
"""

import runpy
from pathlib import Path

from full4d_jax.config.depth import DepthConfig, SharpDepthConfig
from full4d_jax.config.experiment import DEFAULT, Config
from full4d_jax.config.upsampler import UpsamplerConfig
from full4d_jax.session.errors import InputError, require_file

AnyConfig = Config | DepthConfig | SharpDepthConfig | UpsamplerConfig


def load_config(path: str | Path | None = None) -> AnyConfig:
    """Read `config` from a preset file; None gives the embedded default.

    Raises:
      InputError: there is no such file, it does not run, or it defines no `config`.
    """
    if path is None:
        return DEFAULT
    path, advice = Path(path), "see configs/ or leave CONFIG out"
    require_file("config", path, "a Python preset", advice)
    try:
        config = runpy.run_path(str(path)).get("config")
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError("config", path, found, "a Python preset that runs", advice) from error
    if not isinstance(config, AnyConfig):
        found, expected = type(config).__name__, "a module-level `config = Config(...)`"
        raise InputError("config", path, found, expected, advice)
    return config
