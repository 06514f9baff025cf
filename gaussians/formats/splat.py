"""`.splat` files: 32 bytes a Gaussian, no header, little-endian, as antimatter15's viewer reads.

    position 3 x float32, scale 3 x float32 (linear), colour and opacity 4 x uint8,
    quaternion (w x y z) 4 x uint8, 128 + 128 q

View-dependent colour is lost, colour and opacity keep 8 bits, rotations 7.
"""

from pathlib import Path

import numpy as np

from gaussians.formats.scene_files import (
    arrays_to_write,
    check_finite,
    existing_file,
    logit,
    mean_colors,
    mean_harmonics,
    require,
    sigmoid,
    to_gaussians,
    to_levels,
    unit_quaternions,
)
from gaussians.types import Gaussians

ROW = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)]
)


def save_splat(path: str | Path, scene: Gaussians) -> None:
    """Write a scene, in its own order.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    means, quaternions, log_scales, logits, harmonics = arrays_to_write(path, scene)
    largest = log_scales.max()
    # A float32 holds no larger scale.
    expected = "at most 88, for the format keeps scales"
    require(path, "log_scales", largest <= 88, largest, expected)
    rows = np.empty(len(means), ROW)
    rows["mean"] = means
    rows["scale"] = np.exp(log_scales)
    rows["rgba"] = to_levels(np.column_stack([mean_colors(harmonics), sigmoid(logits)]))
    rows["rotation"] = np.rint(unit_quaternions(quaternions) * 128 + 128).clip(0, 255)
    Path(path).write_bytes(rows.tobytes())


def load_splat(path: str | Path) -> Gaussians:
    """Read a scene; harmonics have the mean colour only.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not such a scene.
    """
    path = existing_file(path, "a .splat file")
    content = path.read_bytes()
    whole = content and len(content) % ROW.itemsize == 0
    expected = f"a positive multiple of {ROW.itemsize}"
    require(path, "size", whole, f"{len(content)} bytes", expected)
    rows = np.frombuffer(content, ROW)
    check_finite(path, ["x", "y", "z"], rows["mean"])
    check_finite(path, ["scale_0", "scale_1", "scale_2"], rows["scale"])
    least = rows["scale"].min()
    require(path, "scale", least >= 0, least, "no negative numbers")
    # Stands for a scale of 0, which has no logarithm.
    thinnest = 1e-20
    rgba = rows["rgba"].astype(np.float32) / 255
    quaternions = (rows["rotation"].astype(np.float32) - 128) / 128
    log_scales = np.log(np.maximum(rows["scale"], thinnest))
    harmonics = mean_harmonics(rgba[:, None, :3])
    return to_gaussians(rows["mean"], quaternions, log_scales, logit(rgba[:, 3]), harmonics)
