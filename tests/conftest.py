"""Strict settings for every test: eight simulated devices, float32, no silent broadcasting.

Warnings are errors; `pyproject.toml` lists the exceptions and why.
"""

import os
from pathlib import Path

import jax
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real captures and weights, from FULL4D_DATA; skips the test without one."""
    folder = Path(os.environ.get("FULL4D_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder / 'data'} is not a folder (set FULL4D_DATA)")
    return folder
