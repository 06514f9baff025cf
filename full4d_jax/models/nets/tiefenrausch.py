"""Tiefenrausch: log disparity up to one additive constant from one photograph.

The network of "One Shot 3D Photography" (Kopf et al. 2020, arXiv 2008.12298), 3.55 million
parameters, trained by its authors on Internet photographs and published in 8 bits under MIT
(facebookresearch/one_shot_3d_photography). It is a U-Net over five halvings:

    frame - enter - down_1 - down_2 - down_3 - down_4 - down_5      sides / 1, 2, 4, 8, 16, 32
              |        |        |        |        |        |
          across_0 across_1 across_2 across_3 across_4 across_5
              |        |        |        |        |        |
    leave ----+- up_1 -+- up_2 -+- up_3 -+- up_4 -+- up_5 -'

Each of these is three inverted bottlenecks, 1x1 widen, 3x3 of each channel, 1x1 narrow, to which
their input is added where it has the same shape. The first of a `down` halves the sides, the first
of an `up` doubles them by repeating pixels.

Every layer's result is clamped to the range that its 8 bits hold; that of `enter` and of `widen`
begins at 0, a ReLU. The authors trained with these clamps, and with ReLUs alone depth is another
one (correlation .36 with the authors', against .9995). Ranges are stored with the parameters, but
pass no gradient.

Of the two pictures whose depth the authors published, the mean difference of log disparity is .006
and .012, by what 8 bits round; here nothing is rounded.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from full4d_jax.models.functional import Params, nested
from full4d_jax.models.nets.mobile_layers import (
    Maps,
    Pictures,
    Plane,
    convolve,
    depthwise,
    pointwise,
)
from full4d_jax.models.tensor_files import open_tensors
from full4d_jax.session.errors import input_errors

# Of which the sides of a frame must be multiples.
SIDE_MULTIPLE = 32
# Channels before `leave`, and after the last halving.
FEATURE_CHANNELS = 32
DEEPEST_CHANNELS = 96
HALVING_COUNT = 5
# Inverted bottlenecks in a row.
BLOCK_COUNT = 3
# Metadata: scale and zero point of each kernel, by name.
KERNELS = "kernels"


def log_disparity(
    params: Params, frames: Pictures
) -> tuple[Plane, Maps, Float[Array, "b h/32 w/32 d"]]:
    """Return the log disparity of frames in [-1, 1], up to one constant for each frame.

    Args:
      params: as `load_tiefenrausch` reads them.
      frames: sides are multiples of 32; the network knows pictures with a long side of 384.

    Returns:
      It, the 32 features of every pixel that it is read from, and the 96 of every 32nd.
    """
    assert frames.shape[1] % SIDE_MULTIPLE == frames.shape[2] % SIDE_MULTIPLE == 0, (
        frames.shape
    )
    maps = [_convolve(params["enter"], (frames + 1) / 2)]
    for level in range(1, HALVING_COUNT + 1):
        maps.append(_blocks(params[f"down_{level}"], maps[-1], stride=2))
    maps = [_blocks(params[f"across_{level}"], x) for level, x in enumerate(maps)]
    deepest = x = maps[HALVING_COUNT]
    for level in range(HALVING_COUNT, 0, -1):
        raised = _blocks(params[f"up_{level}"], x, repeat=2)
        x = _clamp(maps[level - 1] + raised, params[f"join_{level - 1}"]["range"])
    return _convolve(params["leave"], x)[..., 0], x, deepest


def _blocks(params: Params, x: Maps, *, stride: int = 1, repeat: int = 1) -> Maps:
    """Apply inverted bottlenecks; the first changes the resolution."""
    for number in range(BLOCK_COUNT):
        block = params[f"block_{number}"]
        before = x
        x = _convolve(block["widen"], x)
        x = jnp.repeat(jnp.repeat(x, repeat, 1), repeat, 2)
        x = _clamp(depthwise(block["spread"], x, stride), block["spread"]["range"])
        x = _convolve(block["narrow"], x)
        if "sum" in block:
            x = _clamp(before + x, block["sum"]["range"])
        stride = 1
        repeat = 1
    return x


def _convolve(layer: Params, x: Maps) -> Maps:
    """Convolve with a 1x1 or 3x3 kernel over all channels."""
    over_channels = pointwise if layer["kernel"].shape[0] == 1 else convolve
    return _clamp(over_channels(layer, x), layer["range"])


def _clamp(x: Maps, limits: Float[Array, "2"]) -> Maps:
    """Limit a map to the range that 8 bits gave it."""
    limits = jax.lax.stop_gradient(limits)
    return jnp.clip(x, limits[0], limits[1])


def load_tiefenrausch(path: Path) -> Params:
    """Read the parameters that recipes/convert_networks.py wrote, as float32.

    Raises:
      InputError: there is no such file, or it is another one.
    """
    do = "give the weights of Tiefenrausch that the package has"
    with open_tensors(path) as file, input_errors("checkpoint", do, path):
        kernels = json.loads((file.metadata() or {})[KERNELS])
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        for name, (scale, zero) in kernels.items():
            tensors[f"{name}.kernel"] = real_numbers(
                tensors[f"{name}.kernel"], scale, zero
            )
    # `jnp.asarray` would compile a program for every shape.
    return nested(jax.device_put(tensors))


def real_numbers(integers: ndarray, scale: float, zero: int) -> ndarray:
    """Return the float32 numbers (q - zero) * scale that integers q stand for."""
    return ((integers.astype(np.float64) - zero) * scale).astype(np.float32)
