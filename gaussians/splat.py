"""`.splat` files: 32 bytes a Gaussian, no header, little-endian, as antimatter15's viewer reads.

    position 3 x float32, scale 3 x float32 (linear), colour and opacity 4 x uint8,
    quaternion (w x y z) 4 x uint8, 128 + 128 q

View-dependent colour is lost, colour and opacity keep 8 bits, rotations 7.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from gaussians.scene_files import (
    FormatError,
    check_finite,
    existing_file,
    host_arrays,
    logit,
    mean_colors,
    mean_harmonics,
    sigmoid,
    to_bytes,
)
from gaussians.types import Gaussians

ROW = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("rgba", "u1", 4), ("rotation", "u1", 4)])
THINNEST = 1e-20  # scale that stands for 0, which has no logarithm


def save_splat(path: str | Path, scene: Gaussians) -> None:
    """Writes a scene, in its own order; raises ValueError when it is empty or not finite."""
    means, quaternions, log_scales, logits, harmonics = host_arrays(scene)
    rows = np.empty(len(means), ROW)
    rows["mean"] = means
    rows["scale"] = np.exp(log_scales)
    rows["rgba"] = to_bytes(np.column_stack([mean_colors(harmonics), sigmoid(logits)]))
    unit = quaternions / np.maximum(np.linalg.norm(quaternions, axis=1, keepdims=True), 1e-12)
    rows["rotation"] = np.clip(np.rint(unit * 128 + 128), 0, 255).astype(np.uint8)
    Path(path).write_bytes(rows.tobytes())


def load_splat(path: str | Path) -> Gaussians:
    """Reads a scene; harmonics have the mean colour only.

    Raises FileNotFoundError, or FormatError when the file is not such a scene.
    """
    path = existing_file(path, "a .splat file")
    size = path.stat().st_size
    if size == 0 or size % ROW.itemsize:
        raise FormatError(path, "size", f"{size} bytes", f"a positive multiple of {ROW.itemsize}")
    rows = np.fromfile(path, ROW)
    numbers = np.concatenate([rows["mean"], rows["scale"]], 1)
    check_finite(path, ["x", "y", "z", "scale_0", "scale_1", "scale_2"], numbers)
    if (rows["scale"] < 0).any():
        raise FormatError(path, "scale", f"{rows['scale'].min()}", "no negative numbers")
    rgba = rows["rgba"].astype(np.float32) / 255
    return Gaussians(
        means=jnp.asarray(rows["mean"]),
        quaternions=jnp.asarray((rows["rotation"].astype(np.float32) - 128) / 128),
        log_scales=jnp.asarray(np.log(np.maximum(rows["scale"], THINNEST))),
        logit_opacities=jnp.asarray(logit(rgba[:, 3])),
        harmonics=jnp.asarray(mean_harmonics(rgba[:, None, :3])),
    )
