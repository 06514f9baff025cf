"""A 4D scene as bytes for the viewer of a page: 40 a Gaussian, little-endian (a page has fewer, see
`squeezing.py`).

    0   position      3 x float32   at its own moment, world units
    12  velocity      3 x float16   world units per clip
    18  moment        float16       clips
    20  log_scale     3 x float16
    26  log_duration  float16       clips
    28  color         3 x float16   mean over directions
    34  opacity, gate 2 x uint8     shares of 255
    36  rotation      uint32        see `pack_rotations`

Colour that depends on the direction has 9 x int8 more, in steps of `HARMONIC_STEP`: the
coefficients of degree 1, of red, green and blue each. Those of higher degrees are not shown.

A scene that deforms is a still one with samples of the deformation in time, between which the
viewer interpolates; each adds 16 bytes a Gaussian: 3 x float16 of what is to be added to the
position, 3 x float16 log-scales, and the rotation.
"""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Int8, UInt32
from numpy import ndarray

from gaussians import DeformingGaussians, DynamicGaussians, Gaussians, Scene
from gaussians.formats.scene_files import (
    mean_colors,
    sigmoid,
    smallest_three,
    to_levels,
    unit_quaternions,
)
from gaussians.motion import still
from gaussians.rendering.projection import ALPHA_MIN
from gaussians.rendering.rasterizer import LARGEST_PARAMETER

RECORD = np.dtype(
    [
        ("position", "<f4", 3),
        ("velocity", "<f2", 3),
        ("moment", "<f2"),
        ("log_scale", "<f2", 3),
        ("log_duration", "<f2"),
        ("color", "<f2", 3),
        ("opacity", "u1"),
        ("gate", "u1"),
        ("rotation", "<u4"),
    ]
)
INSTANT = np.dtype([("offset", "<f2", 3), ("log_scale", "<f2", 3), ("rotation", "<u4")])
HARMONIC_STEP = 1 / 32  # as wide as .spz and packed PLY have them, from -4 to 4


@dataclass(frozen=True)
class PackedScene:
    """A scene as the viewer reads it.

    Attributes:
      records: a row of `RECORD` for each Gaussian that can be seen.
      instants: (g, samples) of `INSTANT` if the scene deforms, else (g, 0).
      moves: whether anything changes with time.
      rows: which Gaussians of the scene these are.
      harmonics: (g, 9) coefficients of degree 1 in steps of `HARMONIC_STEP`, else (g, 0).
    """

    records: ndarray
    instants: ndarray
    moves: bool
    rows: Int[ndarray, "g"]
    harmonics: Int8[ndarray, "g _"]


def pack_scene(scene: Scene | Gaussians) -> PackedScene:
    """Return a scene for the viewer, without the Gaussians that `gaussians.render` never draws."""
    if isinstance(scene, DeformingGaussians):
        return _pack_deforming(scene)
    moving = still(scene) if isinstance(scene, Gaussians) else scene
    is_shown = _drawn(moving.gaussians) & _finite(moving[1:])
    records = _records(moving, is_shown)
    moves = (records["velocity"] != 0).any() or (records["gate"] < 255).any()
    instants = np.zeros((len(records), 0), INSTANT)
    rows = np.flatnonzero(is_shown)
    return PackedScene(records, instants, bool(moves), rows, _degree_1(moving.gaussians, rows))


def sample_times(instants: int) -> Float[ndarray, " samples"]:
    """Return when a deformation of so many instants is sampled: at each of them, and between."""
    fewest_samples = 16
    between = max(1, -(-(fewest_samples - 1) // (instants - 1)))
    return np.linspace(0, 1, between * (instants - 1) + 1, dtype=np.float32)


def pack_rotations(quaternions: Float[ndarray, "g 4"]) -> UInt32[ndarray, " g"]:
    """Return rotations in 32 bits: the index of the largest component above the other three.

    These have 10 bits each, the first component lowest, from -sqrt(1/2) to sqrt(1/2); the largest
    is positive.
    """
    largest, three = smallest_three(unit_quaternions(quaternions))
    levels = np.rint((three * np.sqrt(2) + 1) * 511.5).clip(0, 1023).astype(np.uint32)
    x, y, z = levels.T
    return x | y << 10 | z << 20 | largest.astype(np.uint32) << 30


def _pack_deforming(scene: DeformingGaussians) -> PackedScene:
    is_shown = _drawn(scene.gaussians)
    records = _records(still(scene.gaussians), is_shown)
    times = sample_times(len(scene.biases))
    instants = np.empty((len(records), len(times)), INSTANT)
    at = jax.jit(type(scene).at)
    for i, time in enumerate(times):
        means, quaternions, log_scales, *_ = (np.asarray(x)[is_shown] for x in at(scene, time))
        instants["offset"][:, i] = _half(means - records["position"])
        instants["log_scale"][:, i] = _half(np.clip(log_scales, -30, 30))
        instants["rotation"][:, i] = pack_rotations(quaternions)
    rows = np.flatnonzero(is_shown)
    return PackedScene(records, instants, True, rows, _degree_1(scene.gaussians, rows))


def _records(scene: DynamicGaussians, is_shown: Bool[ndarray, " g"]) -> ndarray:
    def rows(values: jax.Array) -> Float[ndarray, "g ..."]:
        return np.asarray(values, np.float32)[is_shown]

    gaussians = scene.gaussians
    records = np.empty(int(is_shown.sum()), RECORD)
    records["position"] = rows(gaussians.means)
    records["velocity"] = _half(rows(scene.velocities))
    records["moment"] = _half(rows(scene.moments))
    records["log_scale"] = _half(np.clip(rows(gaussians.log_scales), -30, 30))
    records["log_duration"] = _half(np.clip(rows(scene.log_durations), -30, 30))
    records["color"] = _half(np.maximum(mean_colors(rows(gaussians.harmonics)), 0))
    records["opacity"] = to_levels(sigmoid(rows(gaussians.logit_opacities)))
    records["gate"] = to_levels(sigmoid(rows(scene.logit_gates)))
    records["rotation"] = pack_rotations(rows(gaussians.quaternions))
    return records


def _degree_1(gaussians: Gaussians, rows: Int[ndarray, "g"]) -> Int8[ndarray, "g _"]:
    """Return the coefficients of degree 1 in steps, (g, 0) where the scene has none."""
    three = np.asarray(gaussians.harmonics, np.float32)[rows, 1:4]
    return (
        np.rint(three / HARMONIC_STEP)
        .clip(-127, 127)
        .astype(np.int8)
        .reshape(len(rows), 3 * three.shape[1])
    )


def _drawn(gaussians: Gaussians) -> Bool[ndarray, " g"]:
    """Return which Gaussians `gaussians.render` would draw from somewhere."""
    opacities = sigmoid(np.asarray(gaussians.logit_opacities, np.float32))
    return _finite(gaussians) & (opacities > ALPHA_MIN)


def _finite(arrays: tuple[jax.Array, ...]) -> Bool[ndarray, " g"]:
    rows = [np.abs(np.asarray(x)) < LARGEST_PARAMETER for x in arrays]
    return np.all([x.reshape(len(x), -1).all(1) for x in rows], axis=0)


def _half(values: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
    largest = 65504.0
    return np.clip(values, -largest, largest).astype(np.float16)
