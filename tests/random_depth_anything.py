"""Files of a tiny Depth Anything V2 with random weights."""

import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from full4d_jax.models.depth_anything import file_shapes


def write_random(path: Path, seed: int = 0) -> None:
    """Write 12 layers of 64 channels, of about the variance of their inputs."""
    rng = np.random.default_rng(seed)
    shapes = file_shapes(64, 12, 5, 64, [8, 8, 8, 8], 8, 4)
    tensors = {
        name: (rng.normal(size=shape) / np.sqrt(max(4, math.prod(shape[1:])))).astype(np.float32)
        for name, shape in shapes.items()
    }
    tensors["head.conv3.bias"] = np.full(1, 5, np.float32)  # so that ReLU cuts nothing to 0
    save_file(tensors, path)
