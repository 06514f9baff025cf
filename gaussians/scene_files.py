"""What all scene formats share: one error, the checks on both sides, 8-bit colour and opacity."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy import ndarray

from gaussians.harmonics import MEAN
from gaussians.types import Gaussians

# Files hold opacities of exactly 0 and 1, whose logits are infinite: these stand for them.
CERTAIN = 20.0


class FormatError(ValueError):
    """A scene file that cannot be used, told in one line: `path: field: found ..., expected ...`.

    path, field, found, expected: the four parts, for who wants to say it differently.
    """

    def __init__(self, path: Path, field: str, found: object, expected: object):
        self.path, self.field, self.found, self.expected = path, field, found, expected
        line = f"{path}: {field}: found {found}, expected {expected}"
        super().__init__(" ".join(line.split()))


def existing_file(path: str | Path, kind: str) -> Path:
    """The path, which raises FileNotFoundError for nothing and `FormatError` for a folder."""
    path = Path(path)
    if path.is_dir():
        raise FormatError(path, "file", "a folder", kind)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected {kind}")
    return path


def host_arrays(scene: Gaussians) -> list[Float32[ndarray, "g ..."]]:
    """The fields of a scene in numpy; raises ValueError when it is empty or not finite."""
    arrays = [np.asarray(x, np.float32) for x in scene]
    if len(arrays[0]) == 0:
        raise ValueError("a scene of no Gaussians cannot be written")
    for name, values in zip(scene._fields, arrays, strict=True):
        bad = np.count_nonzero(~np.isfinite(values))
        if bad:
            raise ValueError(f"{name}: {bad} values that are not finite cannot be written")
    return arrays


def check_finite(path: Path, names: list[str], values: Float[ndarray, "g c"]) -> None:
    """Raises `FormatError` that names the column and the row of the first bad value."""
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, column = bad[0]
        found = f"{values[row, column]} in row {row} ({len(bad)} such values)"
        raise FormatError(path, names[column], found, "finite numbers")


def to_bytes(unit: Float[ndarray, "..."]) -> UInt8[ndarray, "..."]:
    """[0, 1] in 256 levels; what lies beyond is clipped."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def sigmoid(logits: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """Without overflow for large negative numbers."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def logit(unit: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
    """The inverse of `sigmoid`; 0 and 1 give -/+ `CERTAIN`."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log(unit) - np.log1p(-unit), -CERTAIN, CERTAIN)


def mean_colors(harmonics: Float[ndarray, "g k 3"]) -> Float[ndarray, "g 3"]:
    """The colour without its dependence on the view; [0, 1] is what a screen can show."""
    return 0.5 + MEAN * harmonics[:, 0]


def mean_harmonics(colors: Float[ndarray, "g 3"]) -> Float[ndarray, "g 3"]:
    """The inverse of `mean_colors`."""
    return (colors - 0.5) / MEAN
