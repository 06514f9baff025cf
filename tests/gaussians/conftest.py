"""Scenes that the tests of the file formats write, and a program that nobody here wrote."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from gaussians.types import Gaussians


@pytest.fixture
def make_scene() -> Callable[..., Gaussians]:
    """A function of the count and the harmonic degree: random Gaussians that 8 bits can show."""

    def make(count: int, degree: int = 0) -> Gaussians:
        rng = np.random.default_rng(count + degree)
        k = (degree + 1) ** 2
        harmonics = np.concatenate(
            [rng.uniform(-1.7, 1.7, (count, 1, 3)), rng.normal(size=(count, k - 1, 3))], 1
        )
        arrays = (
            rng.normal(size=(count, 3)),
            rng.normal(size=(count, 4)),
            rng.normal(-4, 1, (count, 3)),
            rng.normal(0, 2, count),
            harmonics,
        )
        return Gaussians(*(jnp.asarray(x, jnp.float32) for x in arrays))

    return make


@pytest.fixture(scope="session")
def splat_transform() -> Callable[[Path, Path], None]:
    """Converts between scene files with PlayCanvas' tool; skips the test where there is none."""
    program = shutil.which("splat-transform")
    if program is None:
        pytest.skip("no splat-transform on the path (npm install -g @playcanvas/splat-transform)")

    def convert(source: Path, target: Path) -> None:
        command = [program, "--quiet", "--overwrite", source, target]
        subprocess.run(command, check=True, timeout=60, capture_output=True)

    return convert
