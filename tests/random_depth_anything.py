"""Files of a tiny Depth Anything V2 with random weights."""

import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from full4d_jax.models.nets.depth_anything import (
    BLOCK_LAYERS,
    EMBEDDINGS,
    LAYER,
    MAP_COUNT,
    PATCH_PIXELS,
    RAISED,
)

WIDTH, HIDDEN, LAYERS = 64, 64, 12  # channels of a token and within a block
SIDE = 5  # of the square of position embeddings
MAP, LAST = 8, 4  # channels of the maps, alone and fused, and before the disparity


def write_random(path: Path) -> None:
    """Write 12 layers of 64 channels, of about the variance of their inputs."""
    rng = np.random.default_rng(0)
    shapes = file_shapes()
    tensors = {}
    for name, shape in shapes.items():
        scale = np.sqrt(max(4, math.prod(shape[1:])))
        tensors[name] = (rng.normal(size=shape) / scale).astype(np.float32)
    tensors["head.conv3.bias"] = np.full(1, 5, np.float32)  # so ReLU cuts nothing to 0
    save_file(tensors, path)


def file_shapes() -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of a file, by name."""
    shapes: dict[str, tuple[int, ...]] = {
        f"{EMBEDDINGS}.cls_token": (1, 1, WIDTH),
        f"{EMBEDDINGS}.mask_token": (1, WIDTH),
        f"{EMBEDDINGS}.position_embeddings": (1, 1 + SIDE**2, WIDTH),
    }

    def add(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    add(f"{EMBEDDINGS}.patch_embeddings.projection", WIDTH, 3, *[PATCH_PIXELS] * 2)
    for number in range(LAYERS):
        layer = f"{LAYER}.{number}"
        for name in ("norm1", "norm2"):
            add(f"{layer}.{name}", WIDTH)
        for name in list(BLOCK_LAYERS)[:4]:
            add(f"{layer}.{name}", WIDTH, WIDTH)
        add(f"{layer}.mlp.fc1", HIDDEN, WIDTH)
        add(f"{layer}.mlp.fc2", WIDTH, HIDDEN)
        for name in ("layer_scale1", "layer_scale2"):
            shapes[f"{layer}.{name}.lambda1"] = (WIDTH,)
    add("backbone.layernorm", WIDTH)
    for number in range(MAP_COUNT):
        stage = f"neck.reassemble_stage.layers.{number}"
        add(f"{stage}.projection", MAP, WIDTH, 1, 1)
        if number < len(RAISED):
            add(f"{stage}.resize", MAP, MAP, RAISED[number], RAISED[number])
        elif number == MAP_COUNT - 1:
            add(f"{stage}.resize", MAP, MAP, 3, 3)
        shapes[f"neck.convs.{number}.weight"] = (MAP, MAP, 3, 3)
        stage = f"neck.fusion_stage.layers.{number}"
        add(f"{stage}.projection", MAP, MAP, 1, 1)
        for residual in ("residual_layer1", "residual_layer2"):
            for name in ("convolution1", "convolution2"):
                add(f"{stage}.{residual}.{name}", MAP, MAP, 3, 3)
    add("head.conv1", MAP // 2, MAP, 3, 3)
    add("head.conv2", LAST, MAP // 2, 3, 3)
    add("head.conv3", 1, LAST, 1, 1)
    return shapes
