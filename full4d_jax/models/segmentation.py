"""DeepLab v3 on MobileNet v2: which of Pascal VOC's 21 classes each pixel belongs to.

    frames --3x3/2--> 17 inverted bottlenecks, to 1/8 of the sides --> features --1x1--+--> classes
                                                                          +--mean--1x1--+

Chen et al. 2017 (arXiv:1706.05587), Sandler et al. 2018 (arXiv:1801.04381), in the form that Google
publishes for phones (deeplabv3_257_mv_gpu.tflite, Apache-2.0): half the channels, no atrous
pyramid, and batch normalization folded into the kernels. Later blocks dilate their convolutions in
place of taking strides. It was trained on 257x257 pixels; other sides of 8 n + 1 work as well.

Cells of the logits lie on pixels 0, 8, 16 and so on ("align corners"), which `enlarge_logits` and
readers of cells must keep to.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params
from full4d_jax.models.mobile_layers import Pictures, bottleneck, convolve, pointwise, relu6

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
