"""Strict settings for every test: eight simulated devices, float32, no silent broadcasting.

Most of the tests' time is in XLA's compiler, three times as fast without the optimizations of LLVM.
What these change is the order of roundings; XLA's own passes all run.

Warnings are errors; `pyproject.toml` lists the exceptions and why.
"""

import os
from pathlib import Path

os.environ["XLA_FLAGS"] = f"--xla_backend_optimization_level=0 {os.environ.get('XLA_FLAGS', '')}"

import jax
import pytest

MOST_MAPS = 25_000
REPOSITORY = Path(__file__).resolve().parent.parent

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
