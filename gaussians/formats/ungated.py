"""Scenes for formats whose Gaussians pass: no share of an opacity is always there.

Those formats know equation 2 of `gaussians.motion` without a gate. What is always there becomes a
Gaussian of its own with a duration so long that nothing changes within a clip.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from gaussians.deformation import Scene
from gaussians.formats.scene_files import (
    FormatError,
    arrays_to_write,
    check_to_write,
    logit,
    sigmoid,
)
from gaussians.motion import DynamicGaussians
from gaussians.rendering.projection import ALPHA_MIN
from gaussians.types import Gaussians

LASTING_CLIPS = 1e3  # within one, such a Gaussian loses less than 1e-6 of its opacity
LONGEST_CLIPS = 100.0  # longer durations last


class Passing(NamedTuple):
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


def without_gates(path: Path, scene: Scene | Gaussians) -> Passing:
    """Return a scene as Gaussians that either pass or last, without invisible ones.

    A Gaussian with a gate well between 0 and 1 becomes two at one place. Together they have its
    opacity in the middle of its ellipse, at its moment and long after.

    Raises:
      FormatError: A file cannot hold the scene; the path is for the message.
    """
    if not isinstance(scene, DynamicGaussians):
        raise FormatError(path, "scene", type(scene).__name__, "DynamicGaussians")
    means, quaternions, log_scales, logits, harmonics = arrays_to_write(path, scene.gaussians)
    fields = ("velocities", "moments", "log_durations", "logit_gates")
    moving = [np.asarray(getattr(scene, name), np.float32) for name in fields]
    for name, values in zip(fields, moving, strict=True):
        check_to_write(path, name, values)
    velocities, moments, log_durations, logit_gates = moving
    durations = np.exp(np.clip(log_durations, -87, np.log(LASTING_CLIPS))).astype(np.float32)

    pure_share = 0.05  # of an opacity; two Gaussians instead of one would err by more
    opacities = sigmoid(logits)
    gates = np.where(durations > LONGEST_CLIPS, 1, sigmoid(logit_gates))
    gates = np.where(gates > 1 - pure_share, 1, np.where(gates < pure_share, 0, gates))
    lasting = opacities * gates
    passing = (opacities - lasting) / np.maximum(1 - lasting, 1e-6)
    shown = np.concatenate([lasting, passing]) > ALPHA_MIN
    if not shown.any():
        raise FormatError(path, "scene", "no Gaussian that can be seen", "at least one")

    def both(values: Float32[ndarray, "g ..."]) -> Float32[ndarray, "n ..."]:
        return np.concatenate([values, values])[shown]

    return Passing(
        means=both(means),
        quaternions=both(quaternions),
        log_scales=both(log_scales),
        opacities=np.concatenate([lasting, passing])[shown].astype(np.float32),
        harmonics=both(harmonics),
        velocities=both(velocities),
        moments=both(moments),
        durations=np.concatenate([np.full_like(durations, LASTING_CLIPS), durations])[shown],
    )


def logits_of(passing: Passing) -> Float32[ndarray, "g"]:
    """Return opacities before the sigmoid."""
    return logit(passing.opacities).astype(np.float32)
