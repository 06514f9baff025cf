"""BlazePose's silhouette: which pixels of a window belong to the person in its middle.

    window --3x3/2--> bottlenecks at 1/2, 1/4, 1/8, 1/16, 1/32 of the sides --> 48 channels
                           |     |    |    |                                      |
                           +-----+----+----+--- 1x1 -----> added while it is enlarged --> mask

Bazarevsky et al. 2020 (arXiv:2006.10204), in the form that Google publishes for browsers
(pose_landmark_full.tflite of MediaPipe, Apache-2.0), without its landmarks. It was trained on
square windows a quarter larger than the person, the person upright.
"""

import jax
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params
from full4d_jax.models.mobile_layers import Maps, bottleneck, convolve, depthwise, pointwise, relu6

# Pixels of a window.
WINDOW_PIXELS = 256
# Strides of the bottlenecks, by the level at which they end: 1/2, 1/4 to 1/32 of the sides.
LEVELS = ((1,), (2, 1), (2, 1), (2, 1, 1, 1, 1, 1), (2, 1, 1, 1))
FROM_LEVELS = ("from_half", "from_quarter", "from_eighth", "from_sixteenth", "from_deepest")
# At half of the window's sides, and at the whole ones.
REFINED_HALF = ("refined_0", "refined_1")
REFINED_WHOLE = ("refined_2", "refined_3")


def silhouette(params: Params, windows: Float[Array, "b 256 256 3"]) -> Float[Array, "b 256 256"]:
    """Return the logits of "this pixel belongs to the person in the middle".

    Args:
      params: those of `silhouette.safetensors`.
      windows: sRGB in [0, 1].
    """
    x = relu6(convolve(params["enter"], windows, stride=2))
    levels = []
    for level, strides in enumerate(LEVELS):
        for number, stride in enumerate(strides):
            x = bottleneck(params[f"block_{level}_{number}"], x, stride)
        levels.append(x)
    wide = relu6(pointwise(params["deepest"]["expand"], x))
    levels[-1] = relu6(depthwise(params["deepest"]["depthwise"], wide))
    half, quarter, eighth, sixteenth, deepest = (
        _separable(params[name], level) for name, level in zip(FROM_LEVELS, levels, strict=True)
    )

    x = deepest
    for finer in (sixteenth, eighth, quarter):
        x = _enlarge(x) + finer
    x = _enlarge(_separable(params["from_all"], x)) + half
    for name in REFINED_HALF:
        x = _refine(params[name], x)
    x = _enlarge(x)
    for name in REFINED_WHOLE:
        x = _refine(params[name], x)
    return convolve(params["mask"], x)[..., 0]


def _separable(params: Params, x: Maps) -> Maps:
    """Mix neighbours of each channel, then channels."""
    mixed = relu6(depthwise(params["depthwise"], x))
    return relu6(pointwise(params["project"], mixed))


def _refine(params: Params, x: Maps) -> Maps:
    """Add the features of neighbours and channels."""
    mixed = relu6(depthwise(params["depthwise"], x))
    return relu6(x + pointwise(params["project"], mixed))


def _enlarge(x: Maps) -> Maps:
    batch, height, width, channels = x.shape
    return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "linear")
