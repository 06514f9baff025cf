"""Strict settings for every test: eight simulated devices, float32, no silent broadcasting.

Warnings are errors; `pyproject.toml` lists the exceptions and why.
"""

import os
import sys
from pathlib import Path

import jax
import pytest

MOST_MAPS = 25_000
REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))  # for `textured_room`

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """Drop compiled programs before they use up the memory maps a process may have.

    Linux allows 65,530; every program holds some, and XLA crashes where it gets no more.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > MOST_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real captures and weights, from FULL4D_DATA; skips the test without one."""
    folder = Path(os.environ.get("FULL4D_DATA", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data: {folder / 'data'} is not a folder (set FULL4D_DATA)")
    return folder
