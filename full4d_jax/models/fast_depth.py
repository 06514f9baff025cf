"""FastDepth: the depth of a room in metres from one frame.

    frame --3x3/2--> 13 separable layers, sides / 2 .. 32 --> 5 separable layers, doubled each time
                       |       |        |                        |        |        |
                       +-------+--------+------ added at 1/2, 1/4, 1/8 ---+--------+--> depth

Wofk et al. 2019 (arXiv:1903.03273), pruned, 1.35 million parameters, published under MIT. Its
authors trained it on the rooms of NYU Depth v2, in frames of 4 : 3 squeezed into a square of 224
pixels. So it knows how far the walls and the floor of a room are, which Tiefenrausch, trained on
photographs of all kinds, does not; of streets and faces it knows little, and outlines are soft.
"""

import math

import jax
import jax.numpy as jnp

from full4d_jax.models.functional import Params
from full4d_jax.models.mobile_layers import Pictures, Plane, convolve, depthwise, pointwise, relu6

# Pixels of the square that it was trained on.
TRAINED_PIXELS = 224
# Width over height of the frames that were squeezed into it.
TRAINED_SHAPE = 4 / 3
# Of which the sides of a frame must be multiples.
SIDE_MULTIPLE = 32
# Nearer is cut off, and 0 is its value where depth is unknown.
NEAREST_METRES = 0.3
# Of the layers that make it smaller.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
# Layers whose result is added to what is enlarged, to 1/2, 1/4 and 1/8.
LEAVING = (0, 2, 4)
# Layers that make it larger.
RAISED_LAYERS = 5


def fast_log_disparity(params: Params, frames: Pictures) -> Plane:
    """Return the log disparity, of 1 / metres, of frames of any size in [-1, 1].

    The network sees them at the size and in the shape that it was trained on.
    """
    height, width = frames.shape[1:3]
    small = jax.image.resize(frames, (len(frames), *seen_size(height, width), 3), "linear")
    logs = -jnp.log(jnp.maximum(fast_depth(params, small), NEAREST_METRES))
    return jax.image.resize(logs, frames.shape[:3], "linear")


def seen_size(height: int, width: int) -> tuple[int, int]:
    """Return rows and columns at which the network sees a frame, squeezed as in its training."""
    squeeze = math.sqrt(width / height / TRAINED_SHAPE)
    rows = max(1, round(TRAINED_PIXELS / squeeze / SIDE_MULTIPLE))
    columns = max(1, round(TRAINED_PIXELS * squeeze / SIDE_MULTIPLE))
    return SIDE_MULTIPLE * rows, SIDE_MULTIPLE * columns


def fast_depth(params: Params, frames: Pictures) -> Plane:
    """Return depth in metres, 0 where it is unknown.

    Args:
      params: those of `fast_depth.safetensors`.
      frames: in [-1, 1], with sides that are multiples of 32.
    """
    x = relu6(convolve(params["enter"], (frames + 1) / 2, stride=2))
    left = []
    for number, stride in enumerate(STRIDES):
        layer = params[f"down_{number}"]
        x = relu6(depthwise(layer["depthwise"], x, stride))
        x = relu6(pointwise(layer["pointwise"], x))
        if number in LEAVING:
            left.append(x)
    added = [None, *left[::-1], None]
    for number in range(RAISED_LAYERS):
        layer = params[f"up_{number}"]
        x = jax.nn.relu(depthwise(layer["depthwise"], x))
        x = jax.nn.relu(pointwise(layer["pointwise"], x))
        x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
        if added[number] is not None:
            x = x + added[number]
    return jax.nn.relu(pointwise(params["leave"], x))[..., 0]
