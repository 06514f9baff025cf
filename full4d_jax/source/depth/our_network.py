"""Depth of a source video by our network, in world units.

Depth is z along the optical axis and 0 = unknown; the unit is the median known depth at t = 0,
which any estimate gives. The network (`models.nets.depth_net`) is monocular: it sees one frame at a
time, so the frames are made consistent afterwards. With l_t the log depth and
s_tu(p) = exp(-|I_t - I_u|^2 / sigma^2) the similarity of colours around pixel p, near 1 on what
stands still before a static camera,

    scale     l_t <- l_t - sum_p s_t0 (l_t - l_0) / (sum_p s_t0 + n / 2),   n pixels
    flicker   l_t <- sum_u s_tu l_u / sum_u s_tu                             at every pixel

The n / 2 keeps the network's own scale where little stands still. Depth d with median 1 at t = 0
becomes d^RELIEF_EXPONENT, since relief that may be wrong does less harm where it is low.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import no_type_check

import jax
import jax.numpy as jnp
from einops import reduce
from jax.core import Tracer
from jaxtyping import Array, Float

from full4d_jax.cameras import sides
from full4d_jax.geometry.depth_maps import nearest
from full4d_jax.models import weights
from full4d_jax.models.functional import Params
from full4d_jax.models.nets.depth_net import DepthNetConfig, init_params, log_depth
from full4d_jax.models.nets.tiefenrausch import (
    KERNELS,
    SIDE_MULTIPLE,
    load_tiefenrausch,
)
from full4d_jax.source.depth import enlarge

WEIGHTS = weights.SHIPPED / "depth.safetensors"
TIEFENRAUSCH = weights.SHIPPED / "tiefenrausch.safetensors"
# Share of log depth that is kept; chosen on procedural scenes below 16.
RELIEF_EXPONENT = 0.9
# Pixels of frames that Tiefenrausch was trained on.
TRAINED_LONG_SIDE = 384


# JAX puts anything in the place of arrays.
@no_type_check
@partial(
    jax.tree_util.register_dataclass, data_fields=["params"], meta_fields=["config"]
)
@dataclass(frozen=True)
class DepthNetwork:
    """A network that is ready to be called.

    Attributes:
      config: sizes of the network; static under jit.
      params: its parameters.
    """

    config: DepthNetConfig
    params: Params

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return rows and columns at which it sees a frame of this size."""
        # Factor for smaller frames; chosen on scenes 48 to 63.
        max_enlargement = 3
        scale = min(max_enlargement, TRAINED_LONG_SIDE / max(height, width))
        return sides(height, width, round(scale * min(height, width)), SIDE_MULTIPLE)


def load_depth(checkpoint: str | Path | None = None) -> DepthNetwork:
    """Read the weights of a depth network; None takes those in the package.

    Tiefenrausch as published is read, too.

    Raises:
      InputError: there is no such file, or it does not hold the weights of a depth network.
    """
    path = Path(checkpoint or WEIGHTS)
    if KERNELS in weights.load_metadata(path):
        return DepthNetwork(DepthNetConfig(fine=0), {"trunk": load_tiefenrausch(path)})
    config = weights.model_of_metadata(path, DepthNetConfig)
    trunk = load_tiefenrausch(TIEFENRAUSCH)
    init = jax.jit(init_params, static_argnums=0)
    shapes = init.eval_shape(config, trunk, jax.random.key(0))
    params = weights.load_params(path, like=shapes)
    if config.fine:
        params["rooms"] = weights.load_shipped("fast_depth")
    return DepthNetwork(config, params)


def estimate_depth(
    network: DepthNetwork, frames: enlarge.Film, *, still: bool = True
) -> enlarge.Maps:
    """Return depth of a video of any size in [-1, 1], with median 1 at t = 0.

    The network sees frames of the size that it was trained for (`DepthNetwork.sides`); what it
    returns is enlarged along the edges, smoothed between them (`enlarge`) and lowered in relief.
    Unless the camera stands `still`, the frames are not made consistent.
    """
    height, width = frames.shape[1:3]
    size = network.sides(height, width)
    small = jax.image.resize(frames, (len(frames), *size, 3), "linear")
    depth = predict_depth(network, small, still=still)
    if size[0] <= height and size[1] <= width:
        depth = 1 / enlarge.enlarge_disparity(1 / depth, small, frames)
    else:
        depth = nearest(depth, height, width)
    smooth = enlarge.smooth_depth(depth, jnp.asarray(frames), height / size[0])
    return align_median(smooth**RELIEF_EXPONENT)


def predict_depth(
    network: DepthNetwork, frames: enlarge.Film, *, still: bool = True
) -> enlarge.Maps:
    """Estimate the depth of a video in [-1, 1], with median 1 at t = 0.

    Args:
      network: the network.
      frames: height and width are multiples of 32.
      still: whether the camera stands still; else the frames are not made consistent.
    """
    frames = jnp.asarray(frames)
    # One frame at a time: the maps of many do not fit the memory, and one program, which takes
    # long to compile, does for clips of any length. Within another program it is a loop.
    one = partial(_log_depth, network)
    if isinstance(frames, Tracer):
        logs = jax.lax.map(one, frames)
    else:
        logs = jnp.stack([one(frame) for frame in frames])
    return align_median(jnp.exp(stabilise(frames, logs) if still else logs))


@jax.jit
def _log_depth(network: DepthNetwork, frame: enlarge.Frame) -> enlarge.Map:
    return log_depth(network.config, network.params, frame[None])[0]


@jax.jit
def stabilise(frames: enlarge.Film, logs: enlarge.Maps) -> enlarge.Maps:
    """Bring log depths of separate frames to one scale and calm them, by the module's equations."""
    still = similarity(frames, frames[0])
    shift = (still * (logs - logs[:1])).mean((1, 2)) / (still.mean((1, 2)) + 0.5)
    logs = logs - shift[:, None, None]

    def calm(frame):
        alike = similarity(frames, frame)
        return (alike * logs).sum(0) / alike.sum(0)

    return jax.lax.map(calm, frames)


@jax.jit
def similarity(frames: enlarge.Film, frame: enlarge.Frame) -> enlarge.Maps:
    """Return how alike the surroundings of each pixel are in `frames` and `frame`, in (0, 1]."""
    # Instants, rows and columns over which colours are compared.
    window = (1, 3, 3)
    # Distance of colours in [-1, 1] that still may be the same surface.
    colour_sigma = 0.15
    distance = reduce((frames - frame[None]) ** 2, "t h w c -> t h w", "sum")
    steps = (1, 1, 1)
    total = jax.lax.reduce_window(distance, 0.0, jax.lax.add, window, steps, "SAME")
    return jnp.exp(-total / math.prod(window) / colour_sigma**2)


def align_median(depth: enlarge.Maps) -> enlarge.Maps:
    """Scale depth to world units: the median of the known depths at t = 0 becomes 1."""
    return depth / jnp.nanmedian(jnp.where(depth[0] > 0, depth[0], jnp.nan))


def depth_errors(
    predicted: Float[Array, "b h w"], depth: Float[Array, "b h w"]
) -> dict[str, Float[Array, ""]]:
    """Return AbsRel, the share within a factor of 1.25, and SIlog of depths with all medians at 1.

    Pixels of unknown `depth`, 0, do not count; the errors are NaN where all are unknown.
    """
    known = depth > 0
    # Of what is known all counts: a prediction that is not finite there makes the score so too.
    predicted, depth = (
        jnp.where(known, x / jnp.nanmedian(seen, (1, 2), keepdims=True), 1.0)
        for x, seen in ((x, jnp.where(known, x, jnp.nan)) for x in (predicted, depth))
    )
    difference = jnp.log(predicted / depth)
    silog = difference.std((1, 2), where=known)
    return {
        "absrel": (jnp.abs(predicted - depth) / depth).mean(where=known),
        "delta125": (jnp.abs(difference) < jnp.log(1.25)).mean(where=known),
        "silog": silog.mean(where=known.any((1, 2))),
    }
