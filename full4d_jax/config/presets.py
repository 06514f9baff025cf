"""Presets: Python files (see `configs/`) whose `config` is an experiment.

The docstring of a preset is its lab notebook.
"""

import runpy
from importlib.resources import files
from pathlib import Path
from typing import Any

from full4d_jax.config.experiment import DEFAULT, Config
from full4d_jax.session.errors import InputError, require_file

PACKAGE = Path(str(files("full4d_jax")))


def shipped_presets() -> dict[str, Path]:
    """Return the presets that have names: of the wheel, or of the repository beside the package."""
    inside = PACKAGE / "configs"
    folder = inside if inside.is_dir() else PACKAGE.parent / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.py"))}


def load_config(preset: str | Path | None = None) -> Config:
    """Read `config` from a preset, by its name or from a file; None gives the embedded default.

    Raises:
      InputError: there is no such preset, it does not run, or has no `config`.
    """
    if preset is None:
        return DEFAULT
    presets = shipped_presets()
    path = presets.get(str(preset), Path(preset))
    advice = "give another --config, or leave it out"
    require_file(
        "config", path, f"a Python file, or one of {', '.join(presets)}", advice
    )
    config = value_in("config", path, "config", advice)
    if not isinstance(config, Config):
        expected = "a module-level `config = Config(...)`"
        raise InputError("config", path, type(config).__name__, expected, advice)
    return config


def value_in(what: str, path: Path, name: str, advice: str) -> Any:
    """Run a user's Python file, and return what a name stands for there; None for nothing.

    Raises:
      InputError: it does not run.
    """
    try:
        return runpy.run_path(str(path)).get(name)
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error}"
        raise InputError(
            what, path, found, "a Python file that runs", advice
        ) from error
