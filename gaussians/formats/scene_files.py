"""Shared by all scene formats: one error, checks for reading and writing, 8-bit colours, axes.

Ours are y down, z forward, those of glTF, SPZ and 4dgs y up, z back: half a turn around x.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray

from gaussians import morton, types
from gaussians.harmonics import MEAN_HARMONIC

Triples = Float[ndarray, "g 3"]
# w x y z.
Quaternions = Float[ndarray, "g 4"]
Values = Float[ndarray, "..."]
Indices = Int[ndarray, "g"]
# Those of a scene in the order of its fields.
Arrays = list[Float32[ndarray, "g ..."]]

# Files hold opacities of exactly 0 and 1, whose logits are infinite: this and its negative stand
# for them.
LARGEST_LOGIT = 20.0
# The other components where one is the largest.
SMALLER_COMPONENTS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])

# Half a turn around x: by which factor a vector changes, and each harmonic of degree 0 to 3.
AXES = np.array([1, -1, -1], np.float32)
HARMONIC_SIGNS = np.array(
    [1, -1, -1, 1, -1, 1, 1, -1, 1, -1, 1, -1, -1, 1, -1, 1], np.float32
)


class FormatError(ValueError):
    """A scene file that cannot be used, in one line: `path: field: found ..., expected ...`.

    Attributes:
      path: the file.
      field: the part of it that is wrong.
      found: what stands there.
      expected: what should stand there, or what to do.
    """

    def __init__(self, path: str | Path, field: str, found: object, expected: object):
        self.path = Path(path)
        self.field = field
        self.found = found
        self.expected = expected
        # An error of a library may have no message; its name is one.
        line = (
            f"{path}: {field}: found {str(found) or repr(found)}, expected {expected}"
        )
        super().__init__(" ".join(line.split()))


def require(
    path: str | Path, field: str, holds: object, found: object, expected: object
) -> None:
    """Raise a `FormatError` unless something holds."""
    if not holds:
        raise FormatError(path, field, found, expected)


@contextlib.contextmanager
def damage_of(path: Path, field: str, expected: str) -> Iterator[None]:
    """Raise a `FormatError` in place of any other error: what is damaged may fail in any way."""
    try:
        yield
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(path, field, error, expected) from error


def existing_file(path: str | Path, kind: str) -> Path:
    """Return the path of a file, or raise FileNotFoundError or, for a folder, `FormatError`."""
    path = Path(path)
    require(path, "file", not path.is_dir(), "a folder", kind)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, expected {kind}")
    return path


def arrays_to_write(path: str | Path, scene: types.Gaussians) -> Arrays:
    """Return the fields of a scene in numpy after checking that a file can hold them.

    Raises:
      FormatError: The path is a folder, or readers would refuse the scene: it is of another kind,
        several scenes at once, empty, of wrong shapes or not finite.
    """
    require(path, "file", not Path(path).is_dir(), "a folder", "a name for a file")
    expected = "Gaussians: take one instant with .at(time)"
    is_one = isinstance(scene, types.Gaussians)
    require(path, "scene", is_one, type(scene).__name__, expected)
    arrays = [np.asarray(x, np.float32) for x in scene]
    g = len(arrays[0]) if arrays[0].ndim else 0
    k = arrays[4].shape[-2] if arrays[4].ndim > 1 else 0
    shapes = ((g, 3), (g, 4), (g, 3), (g,), (g, k, 3))
    for name, values, shape in zip(scene._fields, arrays, shapes, strict=True):
        fits = values.shape == shape
        require(path, name, fits, f"shape {values.shape}", f"{shape}, one scene")
        check_finite(path, [name], values)
    require(path, "scene", g, "no Gaussians", "at least one")
    require(path, "harmonics", k in (1, 4, 9, 16), f"{k} coefficients", "1, 4, 9 or 16")
    return arrays


def to_gaussians(*arrays: ndarray) -> types.Gaussians:
    """Return the scene of arrays in the order of its fields, on the device."""
    return types.Gaussians(*map(jnp.asarray, arrays))


def check_finite(path: str | Path, names: list[str], values: Values) -> None:
    """Raise a `FormatError` that names column and row of the first value that is not finite.

    One name is that of all columns.
    """
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        row, *columns = bad[0]
        name = names[columns[0]] if len(names) > 1 else names[0]
        found = f"{values[tuple(bad[0])]} in row {row} ({len(bad)} such values)"
        raise FormatError(path, name, found, "finite numbers")


def unit_quaternions(quaternions: Quaternions) -> Quaternions:
    """Return quaternions of length 1, whatever theirs is; zero becomes no rotation."""
    doubles = quaternions.astype(np.float64)
    lengths = np.linalg.norm(doubles, axis=1, keepdims=True)
    return np.where(lengths > 0, doubles, [1, 0, 0, 0]) / np.where(
        lengths > 0, lengths, 1
    )


def smallest_three(unit: Quaternions) -> tuple[Indices, Triples]:
    """Return which component of unit quaternions is the largest, and the others in their order.

    They have the signs that make the largest positive: that one follows from these.
    """
    largest = np.abs(unit).argmax(1)
    sign = np.where(np.take_along_axis(unit, largest[:, None], 1) < 0, -1, 1)
    return largest, np.take_along_axis(unit * sign, SMALLER_COMPONENTS[largest], 1)


def with_largest(largest: Indices, three: Triples) -> Quaternions:
    """Return the unit quaternions, the inverse of `smallest_three`."""
    unit = np.empty((len(three), 4))
    np.put_along_axis(unit, SMALLER_COMPONENTS[largest], three, 1)
    left = np.sqrt(np.maximum(1 - (three**2).sum(1, keepdims=True), 0))
    np.put_along_axis(unit, largest[:, None], left, 1)
    return unit


def to_levels(unit: Values) -> UInt8[ndarray, "..."]:
    """Return [0, 1] in 256 levels; values beyond are clipped."""
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


def sigmoid(logits: Values) -> Values:
    """Return 1 / (1 + e^-x) without overflow for large negative numbers."""
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def logit(unit: Values) -> Values:
    """Return the inverse of `sigmoid`; 0 and 1 give -/+ `LARGEST_LOGIT`."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log(unit) - np.log1p(-unit), -LARGEST_LOGIT, LARGEST_LOGIT)


def mean_colors(harmonics: Float[ndarray, "g k 3"]) -> Triples:
    """Return the colour averaged over directions; a screen shows [0, 1]."""
    return 0.5 + MEAN_HARMONIC * harmonics[:, 0]


def mean_harmonics(colors: Float[ndarray, "*g 3"]) -> Float[ndarray, "*g 3"]:
    """Return the inverse of `mean_colors`."""
    return (colors - 0.5) / MEAN_HARMONIC


def turn_vectors(vectors: Triples) -> Float32[ndarray, "g 3"]:
    """Return positions or velocities after half a turn around x."""
    return (vectors * AXES).astype(np.float32)


def turn_quaternions(quaternions: Quaternions) -> Float32[ndarray, "g 4"]:
    """Return rotations (w x y z) of Gaussians after half a turn around x.

    Their ellipsoids, which are symmetric, are those of the product with the quaternion (0 1 0 0);
    this result has the axes of each Gaussian reversed, too, and keeps w.
    """
    return (quaternions * np.array([1, 1, -1, -1])).astype(np.float32)


def turned_xyzw(quaternions: Quaternions) -> Quaternions:
    """Return unit rotations x y z w after half a turn around x, of ones w x y z of any length."""
    return np.roll(unit_quaternions(turn_quaternions(quaternions)), -1, axis=1)


def turn_harmonics(harmonics: Float[ndarray, "g k 3"]) -> Float32[ndarray, "g k 3"]:
    """Return coefficients of view-dependent colour after half a turn around x."""
    return (harmonics * HARMONIC_SIGNS[: harmonics.shape[1], None]).astype(np.float32)


def curve(means: Triples) -> Indices:
    """Return Morton's order, which keeps neighbours in space together; 10 bits an axis."""
    low = means.min(0).astype(np.float64)
    high = means.max(0)
    span = np.where(high > low, high - low, 1)
    cells = ((means - low) / span * (2**10 - 1)).astype(np.int64)
    return np.argsort(morton.morton_places(cells, 10), kind="stable")
