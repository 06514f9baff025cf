"""Configs that differ from another in some values."""

from dataclasses import replace
from typing import Any

from full4d_jax.config import Config


def changed(config: Config, **values: Any) -> Config:
    """Return a config with other values; of sections in tables, as in `model={"layers": 1}`."""
    parts = {
        name: replace(getattr(config, name), **x) if isinstance(x, dict) else x
        for name, x in values.items()
    }
    return replace(config, **parts)
