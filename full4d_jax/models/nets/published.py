"""Three small networks that others published: FastDepth, DeepLab v3 and BlazePose's silhouette.

FastDepth: the depth of a room in metres from one frame.

    frame --3x3/2--> 13 separable layers, sides / 2 .. 32 --> 5 separable layers, doubled each time
                       |       |        |                        |        |        |
                       +-------+--------+------ added at 1/2, 1/4, 1/8 ---+--------+--> depth

Wofk et al. 2019 (arXiv:1903.03273), pruned, 1.35 million parameters, published under MIT. Its
authors trained it on the rooms of NYU Depth v2, in frames of 4 : 3 squeezed into a square of 224
pixels. So it knows how far the walls and the floor of a room are, which Tiefenrausch, trained on
photographs of all kinds, does not; of streets and faces it knows little, and outlines are soft.

DeepLab v3 on MobileNet v2: which of Pascal VOC's 21 classes each pixel belongs to.

    frames --3x3/2--> 17 inverted bottlenecks, to 1/8 of the sides --> features --1x1--+--> classes
                                                                          +--mean--1x1--+

Chen et al. 2017 (arXiv:1706.05587), Sandler et al. 2018 (arXiv:1801.04381), in the form that Google
publishes for phones (deeplabv3_257_mv_gpu.tflite, Apache-2.0): half the channels, no atrous
pyramid, and batch normalization folded into the kernels. Later blocks dilate their convolutions in
place of taking strides. It was trained on 257x257 pixels; other sides of 8 n + 1 work as well.

Cells of the logits lie on pixels 0, 8, 16 and so on ("align corners"), which `enlarge_logits` and
readers of cells must keep to.

BlazePose's silhouette: which pixels of a window belong to the person in its middle.

    window --3x3/2--> bottlenecks at 1/2, 1/4, 1/8, 1/16, 1/32 of the sides --> 48 channels
                           |     |    |    |                                      |
                           +-----+----+----+--- 1x1 -----> added while it is enlarged --> mask

Bazarevsky et al. 2020 (arXiv:2006.10204), in the form that Google publishes for browsers
(pose_landmark_full.tflite of MediaPipe, Apache-2.0), without its landmarks. It was trained on
square windows a quarter larger than the person, the person upright.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params
from full4d_jax.models.nets.mobile_layers import (
    Maps,
    Pictures,
    Plane,
    bottleneck,
    convolve,
    depthwise,
    pointwise,
    relu6,
)

# Of FastDepth.

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


def fast_log_disparity(params: Params, frames: Pictures) -> Plane:
    """Return the log disparity, of 1 / metres, of frames of any size in [-1, 1].

    The network sees them at about the size that it was trained on, squeezed as in its training.
    """
    height, width = frames.shape[1:3]
    squeeze = math.sqrt(width / height / TRAINED_SHAPE)
    rows = max(1, round(TRAINED_PIXELS / squeeze / SIDE_MULTIPLE))
    columns = max(1, round(TRAINED_PIXELS * squeeze / SIDE_MULTIPLE))
    size = (len(frames), SIDE_MULTIPLE * rows, SIDE_MULTIPLE * columns, 3)
    small = jax.image.resize(frames, size, "linear")
    logs = -jnp.log(jnp.maximum(fast_depth(params, small), NEAREST_METRES))
    return jax.image.resize(logs, frames.shape[:3], "linear")


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
    # The first layer has nothing of its size to add, the last one neither.
    for number, beside in enumerate([None, *reversed(left), None]):
        layer = params[f"up_{number}"]
        x = jax.nn.relu(depthwise(layer["depthwise"], x))
        x = jax.nn.relu(pointwise(layer["pointwise"], x))
        x = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
        if beside is not None:
            x = x + beside
    return jax.nn.relu(pointwise(params["leave"], x))[..., 0]


# Of DeepLab.

# Pixels from one cell of the logits to the next.
CELL_PIXELS = 8
CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car"),
    *("cat", "chair", "cow", "table", "dog", "horse", "motorbike"),
    *("person", "plant", "sheep", "sofa", "train", "monitor"),
)
# Stride and dilation of each bottleneck.
BLOCKS = (
    *((1, 1), (2, 1), (1, 1), (2, 1)),
    *((1, 1),) * 3,
    *((1, 2),) * 7,
    *((1, 4),) * 3,
)


def logits(params: Params, frames: Pictures) -> Float[Array, "b r q 21"]:
    """Return the logits of the classes by cells of 8x8 pixels.

    Args:
      params: those of `segmentation.safetensors`.
      frames: sRGB in [-1, 1]; sides are 8 n + 1.
    """
    x = relu6(convolve(params["enter"], frames, stride=2))
    for number, (stride, dilation) in enumerate(BLOCKS):
        x = bottleneck(params[f"block_{number:02}"], x, stride, dilation)
    mean = jax.nn.relu(pointwise(params["mean"], x.mean((1, 2), keepdims=True)))
    features = jax.nn.relu(pointwise(params["features"], x))
    both = jnp.concatenate([jnp.broadcast_to(mean, features.shape), features], -1)
    return pointwise(params["classes"], jax.nn.relu(pointwise(params["merge"], both)))


# Of BlazePose's silhouette.

# Pixels of a window.
WINDOW_PIXELS = 256
# Strides of the bottlenecks, by the level at which they end: 1/2, 1/4 to 1/32 of the sides.
LEVELS = ((1,), (2, 1), (2, 1), (2, 1, 1, 1, 1, 1), (2, 1, 1, 1))
PARTS = ("half", "quarter", "eighth", "sixteenth", "deepest")
FROM_LEVELS = [f"from_{part}" for part in PARTS]
# Layers that refine: half of them at half of the window's sides, half at the whole ones.
REFINED_LAYERS = 4


def silhouette(
    params: Params, windows: Float[Array, "b 256 256 3"]
) -> Float[Array, "b 256 256"]:
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
    named = zip(FROM_LEVELS, levels, strict=True)
    half, *between, x = [_separable(params[name], level) for name, level in named]

    for finer in reversed(between):
        x = _enlarge(x) + finer
    x = _enlarge(_separable(params["from_all"], x)) + half
    for number in range(REFINED_LAYERS):
        if number == REFINED_LAYERS // 2:
            x = _enlarge(x)
        x = _refine(params[f"refined_{number}"], x)
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
