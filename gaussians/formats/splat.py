"""`.splat` files: 32 bytes a Gaussian, no header, little-endian, as antimatter15's viewer reads.

    position 3 x float32, scale 3 x float32 (linear), colour and opacity 4 x uint8,
    quaternion (w x y z) 4 x uint8, 128 + 128 q

View-dependent colour is lost, colour and opacity keep 8 bits, rotations 7.
"""

from pathlib import Path

import numpy as np

from gaussians.formats import scene_files
from gaussians.types import Gaussians

ROW = np.dtype(
    [("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)]
)


def save_splat(path: str | Path, scene: Gaussians) -> None:
    """Write a scene, in its own order.

    Raises:
      FormatError: A file cannot hold the scene, see `arrays_to_write`.
    """
    means, quaternions, log_scales, logits, harmonics = scene_files.arrays_to_write(
        path, scene
    )
    largest = log_scales.max()
    # A float32 holds no larger scale.
    expected = "at most 88, for the format keeps scales"
    scene_files.require(path, "log_scales", largest <= 88, largest, expected)
    rows = np.empty(len(means), ROW)
    rows["mean"] = means
    rows["scale"] = np.exp(log_scales)
    rows["rgba"] = scene_files.to_levels(
        np.column_stack(
            [scene_files.mean_colors(harmonics), scene_files.sigmoid(logits)]
        )
    )
    rows["rotation"] = np.rint(
        scene_files.unit_quaternions(quaternions) * 128 + 128
    ).clip(0, 255)
    Path(path).write_bytes(rows.tobytes())


def load_splat(path: str | Path) -> Gaussians:
    """Read a scene; harmonics have the mean colour only.

    Raises:
      FileNotFoundError: There is no such file.
      FormatError: The file is not such a scene.
    """
    path = scene_files.existing_file(path, "a .splat file")
    content = path.read_bytes()
    whole = content and len(content) % ROW.itemsize == 0
    expected = f"a positive multiple of {ROW.itemsize}"
    scene_files.require(path, "size", whole, f"{len(content)} bytes", expected)
    rows = np.frombuffer(content, ROW)
    scene_files.check_finite(path, ["x", "y", "z"], rows["mean"])
    scene_files.check_finite(path, ["scale_0", "scale_1", "scale_2"], rows["scale"])
    least = rows["scale"].min()
    scene_files.require(path, "scale", least >= 0, least, "no negative numbers")
    # Stands for a scale of 0, which has no logarithm.
    thinnest = 1e-20
    rgba = rows["rgba"].astype(np.float32) / 255
    quaternions = (rows["rotation"].astype(np.float32) - 128) / 128
    log_scales = np.log(np.maximum(rows["scale"], thinnest))
    harmonics = scene_files.mean_harmonics(rgba[:, None, :3])
    return scene_files.to_gaussians(
        rows["mean"], quaternions, log_scales, scene_files.logit(rgba[:, 3]), harmonics
    )
