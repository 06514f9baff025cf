"""Files of a tiny Depth Anything V2 with random weights."""

import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from full4d_jax.models.depth_anything import (
    BLOCK_LAYERS,
    EMBEDDINGS,
    LAYER,
    MAP_COUNT,
    PATCH_PIXELS,
    RAISED,
)


def write_random(path: Path, seed: int = 0) -> None:
    """Write 12 layers of 64 channels, of about the variance of their inputs."""
    rng = np.random.default_rng(seed)
    shapes = file_shapes(64, 12, 5, 64, [8, 8, 8, 8], 8, 4)
    tensors = {}
    for name, shape in shapes.items():
        scale = np.sqrt(max(4, math.prod(shape[1:])))
        tensors[name] = (rng.normal(size=shape) / scale).astype(np.float32)
    tensors["head.conv3.bias"] = np.full(1, 5, np.float32)  # so ReLU cuts nothing to 0
    save_file(tensors, path)


def file_shapes(
    width: int, layers: int, side: int, hidden: int, maps: list[int], fused: int, last: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of a file, by name.

    Args:
      width: channels of a token.
      layers: of the transformer.
      side: of the square of position embeddings.
      hidden: channels between the two linear layers of a block.
      maps: channels of the four maps.
      fused: channels of what they are brought to.
      last: channels before the disparity.
    """
    shapes: dict[str, tuple[int, ...]] = {
        f"{EMBEDDINGS}.cls_token": (1, 1, width),
        f"{EMBEDDINGS}.mask_token": (1, width),
        f"{EMBEDDINGS}.position_embeddings": (1, 1 + side**2, width),
    }

    def add(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    add(f"{EMBEDDINGS}.patch_embeddings.projection", width, 3, PATCH_PIXELS, PATCH_PIXELS)
    for number in range(layers):
        layer = f"{LAYER}.{number}"
        for name in ("norm1", "norm2"):
            add(f"{layer}.{name}", width)
        for name in list(BLOCK_LAYERS)[:4]:
            add(f"{layer}.{name}", width, width)
        add(f"{layer}.mlp.fc1", hidden, width)
        add(f"{layer}.mlp.fc2", width, hidden)
        for name in ("layer_scale1", "layer_scale2"):
            shapes[f"{layer}.{name}.lambda1"] = (width,)
    add("backbone.layernorm", width)
    for number, channels in enumerate(maps):
        stage = f"neck.reassemble_stage.layers.{number}"
        add(f"{stage}.projection", channels, width, 1, 1)
        if number < len(RAISED):
            add(f"{stage}.resize", channels, channels, RAISED[number], RAISED[number])
        elif number == MAP_COUNT - 1:
            add(f"{stage}.resize", channels, channels, 3, 3)
        shapes[f"neck.convs.{number}.weight"] = (fused, channels, 3, 3)
        stage = f"neck.fusion_stage.layers.{number}"
        add(f"{stage}.projection", fused, fused, 1, 1)
        for residual in ("residual_layer1", "residual_layer2"):
            for name in ("convolution1", "convolution2"):
                add(f"{stage}.{residual}.{name}", fused, fused, 3, 3)
    add("head.conv1", fused // 2, fused, 3, 3)
    add("head.conv2", last, fused // 2, 3, 3)
    add("head.conv3", 1, last, 1, 1)
    return shapes
