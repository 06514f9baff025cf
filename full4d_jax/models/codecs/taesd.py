"""TAESD for FLUX.2 (madebyollin/taesd): a small image autoencoder, 8 x 8 pixels to 32 channels.

    encode:  conv, block, 3 times (conv of stride 2, 3 blocks), conv
    decode:  conv, 3 times (3 blocks, twice the sides, conv), block, conv

A block is relu(x + conv(relu(conv(relu(conv(x)))))). At the lowest resolution it first adds a
1 x 1 network with a group norm over the frame. Parameters have the names of the published files,
`taef2_encoder.pth` and `taef2_decoder.pth`. Videos go through frame by frame.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange, reduce
from flax.traverse_util import unflatten_dict
from jaxtyping import Array, Float
from numpy import ndarray

from full4d_jax.models.torch_files import read_tensors
from full4d_jax.session.errors import InputError

Params = dict[str, Any]
Map = Float[Array, "b _h _w _c"]  # layers change sizes, which are not compared

WIDTH = 64
POOL = 256
GROUPS = 4
CHANNELS = 32
DOWN = (2, 6, 10)  # where the encoder's convolutions of stride 2 stand, each before 3 blocks
UP = (3, 8, 13)  # where the decoder's triples of blocks begin, each before a change of sides
POOLED = {"encoder": (11, 12, 13), "decoder": (3, 4, 5)}
PLAIN = {
    "encoder": (1, 3, 4, 5, 7, 8, 9),
    "decoder": (8, 9, 10, 13, 14, 15, 18),
}


def encode(params: Params, frames: Float[Array, "b t H W 3"]) -> Float[Array, "b t h w c"]:
    """Encode frames in [-1, 1] as latents, float32."""
    return _frame_by_frame(_encode, params["encoder"], frames)


def decode(params: Params, latents: Float[Array, "b t h w c"]) -> Float[Array, "b t H W 3"]:
    """Decode latents to frames, float32, which are not clipped to [-1, 1]."""
    return _frame_by_frame(_decode, params["decoder"], latents)


def _encode(params: Params, frames: Map) -> Map:
    x = _block(params["1"], _conv(params["0"], (frames + 1) / 2))
    for place in DOWN:
        x = _conv(params[str(place)], x, stride=2)
        for i in range(3):
            x = _block(params[str(place + 1 + i)], x)
    return _conv(params["14"], x)


def _decode(params: Params, latents: Map) -> Map:
    x = jax.nn.relu(_conv(params["1"], 3 * jnp.tanh(latents / 3)))
    for place in UP:
        for i in range(3):
            x = _block(params[str(place + i)], x)
        x = _conv(params[str(place + 4)], jnp.repeat(jnp.repeat(x, 2, 1), 2, 2))
    return 2 * _conv(params["19"], _block(params["18"], x)).astype(jnp.float32) - 1


def _frame_by_frame(convert, params: Params, videos: Float[Array, "b t h w c"]):
    """Convert one frame after the other."""
    frames = rearrange(videos, "b t h w c -> (b t) 1 h w c")
    out = jax.lax.map(lambda frame: convert(params, frame).astype(jnp.float32), frames)
    return rearrange(out, "(b t) 1 h w c -> b t h w c", b=videos.shape[0])


def _block(params: Params, x: Map) -> Map:
    if "pool" in params:
        x = x + _pool(params["pool"], x)
    conv = params["conv"]
    y = jax.nn.relu(_conv(conv["0"], x))
    return jax.nn.relu(x + _conv(conv["4"], jax.nn.relu(_conv(conv["2"], y))))


def _pool(params: Params, x: Map) -> Map:
    """Apply the 1 x 1 network; its norm is over all pixels of a quarter of the channels."""
    wide = rearrange(_conv(params["0"], x), "b h w (g c) -> b h w g c", g=GROUPS)
    wide = wide.astype(jnp.float32)
    mean = reduce(wide, "b h w g c -> b 1 1 g 1", "mean")
    variance = reduce((wide - mean) ** 2, "b h w g c -> b 1 1 g 1", "mean")
    normal = rearrange((wide - mean) * jax.lax.rsqrt(variance + 1e-5), "b h w g c -> b h w (g c)")
    scale, bias = (params["1"][name].reshape(1, 1, 1, -1) for name in ("scale", "bias"))
    return _conv(params["3"], jax.nn.relu(normal * scale + bias))


def _conv(params: Params, x: Map, stride: int = 1) -> Map:
    """Apply a k x k convolution that keeps the sides, or divides them by the stride."""
    kernel = params["kernel"]
    pad = (kernel.shape[0] // 2,) * 2
    x = jax.lax.conv_general_dilated(
        x.astype(kernel.dtype),
        kernel,
        (stride, stride),
        (pad, pad),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return x + params["bias"].reshape(1, 1, 1, -1) if "bias" in params else x


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every parameter, by dotted name."""

    def conv(side: int, inputs: int, outputs: int, bias: bool) -> dict[str, tuple[int, ...]]:
        return {"kernel": (side, side, inputs, outputs)} | ({"bias": (outputs,)} if bias else {})

    layers = {
        "encoder.0": conv(3, 3, WIDTH, True),
        "encoder.14": conv(3, WIDTH, CHANNELS, True),
        "decoder.1": conv(3, CHANNELS, WIDTH, True),
        "decoder.19": conv(3, WIDTH, 3, True),
    }
    layers |= {f"encoder.{place}": conv(3, WIDTH, WIDTH, False) for place in DOWN}
    layers |= {f"decoder.{place + 4}": conv(3, WIDTH, WIDTH, False) for place in UP}
    for half in ("encoder", "decoder"):
        for place in (*PLAIN[half], *POOLED[half]):
            for i in (0, 2, 4):
                layers[f"{half}.{place}.conv.{i}"] = conv(3, WIDTH, WIDTH, True)
        for place in POOLED[half]:
            pool = f"{half}.{place}.pool"
            layers[f"{pool}.0"] = conv(1, WIDTH, POOL, False)
            layers[f"{pool}.1"] = {"scale": (POOL,), "bias": (POOL,)}
            layers[f"{pool}.3"] = conv(1, POOL, WIDTH, False)
    return {f"{name}.{leaf}": shape for name, x in layers.items() for leaf, shape in x.items()}


def convert_taesd(folder: Path) -> Params:
    """Read the parameters, float32, from the two published files.

    Raises:
      InputError: a file is missing, or has other tensors.
    """
    params: dict[str, Any] = {}
    for half in ("encoder", "decoder"):
        path = folder / f"taef2_{half}.pth"
        tensors = read_tensors(path)
        wanted = {n: shape for n, shape in shapes().items() if n.startswith(f"{half}.")}
        published = {f"{half}.{_our_name(n, x)}": _turned(x) for n, x in tensors.items()}
        odd = sorted(set(wanted) ^ set(published)) or [
            f"{n} {published[n].shape}"
            for n, shape in wanted.items()
            if published[n].shape != shape
        ]
        if odd:
            expected = "the tensors of TAESD for FLUX.2"
            do = "give the unchanged files"
            raise InputError("weights", path, f"other tensors, such as {odd[0]}", expected, do)
        params |= {name: jnp.asarray(x, jnp.float32) for name, x in published.items()}
    return unflatten_dict(params, sep=".")


def _our_name(name: str, x: ndarray) -> str:
    """Return our name of a published tensor."""
    module, leaf = name.rsplit(".", 1)
    return name if leaf == "bias" else f"{module}.{'scale' if x.ndim == 1 else 'kernel'}"


def _turned(x: ndarray) -> ndarray:
    """Turn the axes of a kernel from (o i h w) to (h w i o); a vector stays as it is."""
    return x.transpose(2, 3, 1, 0) if x.ndim == 4 else np.asarray(x)
