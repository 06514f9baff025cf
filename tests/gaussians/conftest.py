"""Scenes that the tests of the file formats write, and a program that nobody here wrote."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from gaussians.types import Gaussians


@pytest.fixture
def make_scene() -> Callable[..., Gaussians]:
    """A function of the count and the harmonic degree: random Gaussians that 8 bits can show."""

    def make(count: int, degree: int = 0) -> Gaussians:
        rng = np.random.default_rng(count + degree)
        k = (degree + 1) ** 2
        mean = rng.uniform(-1.7, 1.7, (count, 1, 3))
        harmonics = np.concatenate([mean, rng.normal(size=(count, k - 1, 3))], 1)
        arrays = (
            rng.normal(size=(count, 3)),
            rng.normal(size=(count, 4)),
            rng.normal(-4, 1, (count, 3)),
            rng.normal(0, 2, count),
            harmonics,
        )
        return Gaussians(*(jax.device_put(np.float32(x)) for x in arrays))

    return make


@pytest.fixture
def vertex() -> Callable[[Path], np.ndarray]:
    """A function that maps the rows of a binary file of floats, to be read and written."""

    def rows(path: Path) -> np.ndarray:
        header, end, _ = path.read_bytes().partition(b"end_header\n")
        lines = header.decode("ascii").splitlines()
        names = [x.split()[2] for x in lines if x.startswith("property float ")]
        assert lines[:2] == ["ply", "format binary_little_endian 1.0"]
        assert lines[3:] == [f"property float {name}" for name in names]
        kind = np.dtype([(name, "<f4") for name in names])
        mapped = np.memmap(path, kind, "r+", offset=len(header) + len(end))
        assert lines[2] == f"element vertex {len(mapped)}"
        return mapped

    return rows


@pytest.fixture(scope="session")
def splat_transform() -> Callable[[Path, Path], None]:
    """Converts between scene files with PlayCanvas' tool; skips the test where there is none."""
    program = shutil.which("splat-transform")
    if program is None:
        pytest.skip("no splat-transform (npm install -g @playcanvas/splat-transform)")

    def convert(source: Path, target: Path) -> None:
        command = [program, "--quiet", "--overwrite", source, target]
        subprocess.run(command, check=True, timeout=60, capture_output=True)

    return convert


@pytest.fixture(scope="session")
def gaussforge() -> Callable[..., None]:
    """Converts between scene files with GaussForge, which has Niantic's library in it."""
    import gaussforge

    def convert(source: Path, target: Path, **options: int) -> None:
        kinds = (source.suffix[1:], target.suffix[1:])
        result = gaussforge.GaussForge().convert(source.read_bytes(), *kinds, **options)
        target.write_bytes(result["data"])

    return convert
