"""A 4D scene as the viewer of a page shows it, before `squeezing.py` makes it small.

Of each Gaussian a row has what `RECORD` names: the position at its own moment in world units, the
velocity per clip, moment and logarithm of the duration in clips, the mean colour, shares of 255
that are its opacity and its gate, and a quaternion of length 1.

Colour that depends on the direction has 9 x int8 more, in steps of `HARMONIC_STEP`: the
coefficients of degree 1, of red, green and blue each. Those of higher degrees are not shown.

A scene that deforms is a still one with samples of the deformation in time, between which the
viewer interpolates; each adds 16 bytes a Gaussian: 3 x float16 of what is to be added to the
position, 3 x float16 log-scales, and the rotation.
"""

from typing import Any, NamedTuple

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
from gaussians.rendering import projection, rasterizer

RECORD = np.dtype(
    [
        ("position", "f8", 3),
        ("velocity", "f8", 3),
        ("moment", "f8"),
        ("log_scale", "f8", 3),
        ("log_duration", "f8"),
        ("color", "f8", 3),
        ("opacity", "u1"),
        ("gate", "u1"),
        ("quaternion", "f8", 4),
    ]
)
INSTANT = np.dtype([("offset", "<f2", 3), ("log_scale", "<f2", 3), ("rotation", "<u4")])
# As wide as .spz and packed PLY have them, from -4 to 4.
HARMONIC_STEP = 1 / 32
# One for each Gaussian.
Numbers = Int[ndarray, "g"]


class PackedScene(NamedTuple):
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
    rows: Numbers
    harmonics: Int8[ndarray, "g _"]


def pack_scene(scene: Scene | Gaussians) -> PackedScene:
    """Return a scene for the viewer, without the Gaussians that `gaussians.render` never draws."""
    if isinstance(scene, DynamicGaussians):
        moving = scene
    else:
        moving = still(scene if isinstance(scene, Gaussians) else scene.gaussians)
    gaussians = moving.gaussians
    opacities = sigmoid(np.asarray(gaussians.logit_opacities, np.float32))
    is_shown = (
        (opacities > projection.ALPHA_MIN) & _finite(gaussians) & _finite(moving[1:])
    )
    rows = np.flatnonzero(is_shown)
    records = _records(moving, rows)
    moves = (records["velocity"] != 0).any() or (records["gate"] < 255).any()
    instants = np.zeros((len(rows), 0), INSTANT)
    if isinstance(scene, DeformingGaussians):
        moves = True
        instants = _samples(scene, rows, records["position"])
    three = np.asarray(gaussians.harmonics, np.float32)[rows, 1:4]
    steps = np.rint(three / HARMONIC_STEP).clip(-127, 127).astype(np.int8)
    degree_1 = steps.reshape(len(rows), 3 * three.shape[1])
    return PackedScene(records, instants, bool(moves), rows, degree_1)


def pack_rotations(quaternions: Float[ndarray, "g 4"]) -> UInt32[ndarray, " g"]:
    """Return rotations in 32 bits: the index of the largest component above the other three.

    These have 10 bits each, the first component lowest, from -sqrt(1/2) to sqrt(1/2); the largest
    is positive.
    """
    largest, three = smallest_three(unit_quaternions(quaternions))
    levels = np.rint((three * np.sqrt(2) + 1) * 511.5).clip(0, 1023).astype(np.uint32)
    x, y, z = levels.T
    return x | y << 10 | z << 20 | largest.astype(np.uint32) << 30


def _samples(
    scene: DeformingGaussians, rows: Numbers, positions: Float[ndarray, "g 3"]
) -> ndarray:
    """Return samples of a deformation of some Gaussians, at its instants and between them."""
    fewest_samples = 16
    steps = len(scene.biases) - 1
    steps *= max(1, -(-(fewest_samples - 1) // steps))
    times = np.linspace(0, 1, steps + 1, dtype=np.float32)
    instants = np.empty((len(rows), len(times)), INSTANT)
    at = jax.jit(type(scene).at)
    for i, time in enumerate(times):
        means, quaternions, log_scales, *_ = (
            np.asarray(x)[rows] for x in at(scene, time)
        )
        instants["offset"][:, i] = _half(means - positions)
        instants["log_scale"][:, i] = _half(np.clip(log_scales, -30, 30))
        instants["rotation"][:, i] = pack_rotations(quaternions)
    return instants


def _records(scene: DynamicGaussians, rows: Numbers) -> ndarray:
    kept: Any = jax.tree.map(lambda x: np.asarray(x, np.float32)[rows], scene)
    gaussians = kept.gaussians
    records = np.empty(len(rows), RECORD)
    records["position"] = gaussians.means
    records["velocity"] = _half(kept.velocities)
    records["moment"] = _half(kept.moments)
    records["log_scale"] = _half(np.clip(gaussians.log_scales, -30, 30))
    records["log_duration"] = _half(np.clip(kept.log_durations, -30, 30))
    records["color"] = _half(np.maximum(mean_colors(gaussians.harmonics), 0))
    records["opacity"] = to_levels(sigmoid(gaussians.logit_opacities))
    records["gate"] = to_levels(sigmoid(kept.logit_gates))
    records["quaternion"] = unit_quaternions(gaussians.quaternions)
    return records


def _finite(arrays: tuple[jax.Array, ...]) -> Bool[ndarray, " g"]:
    rows = [np.abs(np.asarray(x)) < rasterizer.LARGEST_PARAMETER for x in arrays]
    return np.all([x.reshape(len(x), -1).all(1) for x in rows], axis=0)


def _half(values: Float[ndarray, "*any"]) -> Float[ndarray, "*any"]:
    largest = 65504.0
    return np.clip(values, -largest, largest).astype(np.float16)
