"""Scenes for formats without gates: gated Gaussians split into permanent and transient ones.

Those formats know equation 2 of `gaussians.motion` without a gate. What is always there becomes a
Gaussian of its own with a duration so long that nothing changes within a clip.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gaussians import motion, types
from gaussians.deformation import Scene
from gaussians.formats.scene_files import (
    Arrays,
    FormatError,
    arrays_to_write,
    check_finite,
    require,
    sigmoid,
)
from gaussians.rendering.projection import ALPHA_MIN

# Within one, such a Gaussian loses less than 1e-6 of its opacity.
LASTING_CLIPS = 1e3
# Longer durations last.
LONGEST_CLIPS = 100.0


class Ungated(NamedTuple):
    """Arrays of a scene without gates; times are in clips.

    Attributes:
      means: of every Gaussian at its own moment, world units.
      quaternions: w x y z, of any length.
      log_scales: logarithms of world units.
      opacities: in [0, 1].
      harmonics: coefficients of colour.
      velocities: world units per clip.
      moments: when each is most visible.
      durations: one standard deviation; `LASTING_CLIPS` for what is always there.
    """

    means: Float32[ndarray, "g 3"]
    quaternions: Float32[ndarray, "g 4"]
    log_scales: Float32[ndarray, "g 3"]
    opacities: Float32[ndarray, "g"]
    harmonics: Float32[ndarray, "g k 3"]
    velocities: Float32[ndarray, "g 3"]
    moments: Float32[ndarray, "g"]
    durations: Float32[ndarray, "g"]


def moving_arrays(path: str | Path, scene: Scene | types.Gaussians) -> Arrays:
    """Return velocities, moments, log_durations and logit_gates of a scene that is to be written.

    Raises:
      FormatError: It is of another kind, or these are not finite or of other shapes.
    """
    if not isinstance(scene, motion.DynamicGaussians):
        raise FormatError(path, "scene", type(scene).__name__, "DynamicGaussians")
    arrays = [np.asarray(x, np.float32) for x in scene[1:]]
    g = np.shape(scene.gaussians.means)[:1]
    shapes = ((*g, 3), g, g, g)
    for name, values, shape in zip(scene._fields[1:], arrays, shapes, strict=True):
        require(path, name, values.shape == shape, f"shape {values.shape}", shape)
        check_finite(path, [name], values)
    return arrays


def without_gates(path: str | Path, scene: Scene | types.Gaussians) -> Ungated:
    """Return a scene as Gaussians that are either transient or permanent, without invisible ones.

    A Gaussian with a gate well between 0 and 1 becomes two at one place. Together they have its
    opacity in the middle of its ellipse, at its moment and long after.

    Raises:
      FormatError: A file cannot hold the scene; the path is for the message.
    """
    velocities, moments, log_durations, logit_gates = moving_arrays(path, scene)
    assert isinstance(scene, motion.DynamicGaussians), "it moves"
    arrays = arrays_to_write(path, scene.gaussians)
    means, quaternions, log_scales, logits, harmonics = arrays
    durations = np.exp(np.clip(log_durations, -87, np.log(LASTING_CLIPS)))
    durations = durations.astype(np.float32)

    # Of an opacity; two Gaussians instead of one would err by more.
    pure_share = 0.05
    opacities = sigmoid(logits)
    gates = np.where(durations > LONGEST_CLIPS, 1, sigmoid(logit_gates))
    gates = np.where(gates > 1 - pure_share, 1, np.where(gates < pure_share, 0, gates))
    lasting = opacities * gates
    transient = (opacities - lasting) / np.maximum(1 - lasting, 1e-6)
    both = np.concatenate([lasting, transient])
    shown = both > ALPHA_MIN
    require(path, "scene", shown.any(), "no Gaussian that can be seen", "at least one")
    # Of both halves, those that are seen.
    rows = np.tile(np.arange(len(means)), 2)[shown]
    lengths = np.concatenate([np.full_like(durations, LASTING_CLIPS), durations])
    return Ungated(
        means=means[rows],
        quaternions=quaternions[rows],
        log_scales=log_scales[rows],
        opacities=both[shown].astype(np.float32),
        harmonics=harmonics[rows],
        velocities=velocities[rows],
        moments=moments[rows],
        durations=lengths[shown],
    )
