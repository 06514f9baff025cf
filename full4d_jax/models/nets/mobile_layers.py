"""Convolutions, and layers of MobileNet v2 (Sandler et al. 2018, arXiv:1801.04381).

A bottleneck widens its channels, mixes the neighbours of each channel alone, and narrows again.
Batch normalization is folded into kernels and biases.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from full4d_jax.models.functional import Params

# Sizes with an underscore are not compared: layers change them.
Maps = Float[Array, "b _h _w _c"]
Pictures = Float[Array, "b h w 3"]
Plane = Float[Array, "b h w"]


def bottleneck(params: Params, x: Maps, stride: int, dilation: int = 1) -> Maps:
    """Widen, mix neighbours of each channel, narrow; added to what came where shapes agree."""
    wide = relu6(pointwise(params["expand"], x)) if "expand" in params else x
    mixed = relu6(depthwise(params["depthwise"], wide, stride, dilation))
    narrow = pointwise(params["project"], mixed)
    return x + narrow if narrow.shape == x.shape else narrow


def relu6(x: Array) -> Array:
    """Return x between 0 and 6."""
    return jnp.clip(x, 0, 6)


def pointwise(params: Params, x: Maps) -> Maps:
    """Mix the channels of each pixel: a 1x1 convolution."""
    return x @ params["kernel"][0, 0] + params["bias"][None, None, None]


def convolve(
    params: Params, x: Maps, stride: int = 1, reach: int | None = None
) -> Maps:
    """Convolve; `reach` zeros are added on all sides, by default half a kernel."""
    kernel = params["kernel"]
    pad = kernel.shape[0] // 2 if reach is None else reach
    axes = ("NHWC", "HWIO", "NHWC")
    pads = [(pad, pad)] * 2
    convolved = jax.lax.conv_general_dilated
    y = convolved(x, kernel, (stride, stride), pads, dimension_numbers=axes)
    return y + params["bias"][None, None, None]


def depthwise(params: Params, x: Maps, stride: int = 1, dilation: int = 1) -> Maps:
    """Convolve each channel alone; on CPUs a sum of shifts is faster than XLA's convolution.

    Zeros are added on all sides, half a kernel wide.
    """
    size = params["kernel"].shape[0]
    reach = size // 2 * dilation
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    y = jnp.zeros((), x.dtype)
    for i in range(size):
        for j in range(size):
            rows = slice(i * dilation, i * dilation + height, stride)
            columns = slice(j * dilation, j * dilation + width, stride)
            y = (
                y
                + padded[:, rows, columns] * params["kernel"][i, j, 0][None, None, None]
            )
    return y + params["bias"][None, None, None]
