"""BlazePose's silhouette: which pixels of a window belong to the person in its middle.

    window --3x3/2--> bottlenecks at 1/2, 1/4, 1/8, 1/16, 1/32 of the sides --> 48 channels
                           |     |    |    |                                      |
                           +-----+----+----+--- 1x1 -----> added while it is enlarged --> mask

Bazarevsky et al. 2020 (arXiv:2006.10204), in the form that Google publishes for browsers
(pose_landmark_full.tflite of MediaPipe, Apache-2.0), without its landmarks. It was trained on
square windows a quarter larger than the person, the person upright.
"""

from pathlib import Path
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params
from full4d_jax.models.mobile_layers import bottleneck, convolve, depthwise, pointwise, relu6
from full4d_jax.models.weights import load_params

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "silhouette.safetensors"
WINDOW_PIXELS = 256  # pixels of a window


class InvertedBottleneck(NamedTuple):
    """Side of a bottleneck's kernel for neighbours, and its stride."""

    side: int
    stride: int


# By the level at which they end: 1/2, 1/4, 1/8, 1/16 and 1/32 of the window's sides.
LEVELS = (
    (InvertedBottleneck(3, 1),),
    (InvertedBottleneck(3, 2), InvertedBottleneck(3, 1)),
    (InvertedBottleneck(5, 2), InvertedBottleneck(5, 1)),
    (InvertedBottleneck(3, 2), *(InvertedBottleneck(3, 1),) * 2, *(InvertedBottleneck(5, 1),) * 3),
    (InvertedBottleneck(5, 2), *(InvertedBottleneck(5, 1),) * 3),
)
FROM_LEVELS = ("from_half", "from_quarter", "from_eighth", "from_sixteenth", "from_deepest")
REFINED_HALF = ("refined_0", "refined_1")  # at half of the window's sides
REFINED_WHOLE = ("refined_2", "refined_3")


def silhouette(params: Params, windows: Float[Array, "b 256 256 3"]) -> Float[Array, "b 256 256"]:
    """Return the logits of "this pixel belongs to the person in the middle".

    Args:
      params: as `load_silhouette` reads them.
      windows: sRGB in [0, 1].
    """
    x = relu6(convolve(params["enter"], windows, stride=2))
    levels = []
    for level, blocks in enumerate(LEVELS):
        for number, block in enumerate(blocks):
            x = bottleneck(params[f"block_{level}_{number}"], x, block.stride)
        levels.append(x)
    wide = relu6(pointwise(params["deepest"]["expand"], x))
    levels[-1] = relu6(depthwise(params["deepest"]["depthwise"], wide))
    half, quarter, eighth, sixteenth, deepest = (
        _separable(params[name], level) for name, level in zip(FROM_LEVELS, levels, strict=True)
    )

    x = _enlarge(deepest) + sixteenth
    x = _enlarge(x) + eighth
    x = _enlarge(x) + quarter
    x = _separable(params["from_all"], x)
    x = _enlarge(x) + half
    for name in REFINED_HALF:
        x = _refine(params[name], x)
    x = _enlarge(x)
    for name in REFINED_WHOLE:
        x = _refine(params[name], x)
    return convolve(params["mask"], x)[..., 0]


def _separable(params: Params, x: Float[Array, "b h w c"]) -> Float[Array, "b h w d"]:
    """Mix neighbours of each channel, then channels."""
    mixed = relu6(depthwise(params["depthwise"], x))
    return relu6(pointwise(params["project"], mixed))


def _refine(params: Params, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Add the features of neighbours and channels."""
    mixed = relu6(depthwise(params["depthwise"], x))
    return relu6(x + pointwise(params["project"], mixed))


def _enlarge(x: Float[Array, "b h w c"]) -> Float[Array, "b 2*h 2*w c"]:
    batch, height, width, channels = x.shape
    return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "linear")


def load_silhouette() -> Params:
    """Read the parameters, float32."""
    return load_params(SHIPPED)[0]
