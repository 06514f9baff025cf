"""Codecs between frames and latents: a pair of functions and their strides.

pixels  the embedded default, no weights: folds stride x stride pixels into channels, invertibly.
wan21   Wan 2.1's causal video VAE (`wan_vae`), 4 frames x 8 x 8 pixels.
wan22   Wan 2.2's, 4 frames x 16 x 16 pixels.

Strides are known without weights (`config.codecs`). Weights are a pytree that `load_codec` reads
once and jitted functions take as an argument. In the causal codecs the first frame is a latent
frame of its own and each further one stands for 4 frames, so that videos have 1 + 4 n.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from full4d_jax.config import Config, ModelConfig
from full4d_jax.config.codecs import KINDS, Strides, check_video, strides_of
from full4d_jax.models.codecs import wan_vae
from full4d_jax.models.codecs.wan_vae_weights import convert_vae, find_vae
from full4d_jax.models.linear import product_type
from full4d_jax.models.weights import load_metadata, load_params, save_params, tensor_shapes
from full4d_jax.session.errors import InputError

Weights = dict[str, Any]
Convert = Callable[[Weights, Float[Array, "b t h w c"]], Float[Array, "b t h w c"]]


class Codec(NamedTuple):
    """A pair of functions between frames in [-1, 1] and latents, and their strides.

    Attributes:
      encode: maps frames to latents; leading axes are free.
      decode: maps latents to frames.
      stride: pixels for each latent pixel, each side.
      frame_stride: frames for each latent frame.
      channels: of the latents.
    """

    encode: Callable[[Float[Array, "*b t H W 3"]], Float[Array, "*b f h w c"]]
    decode: Callable[[Float[Array, "*b f h w c"]], Float[Array, "*b t H W 3"]]
    stride: int
    frame_stride: int
    channels: int


def make_codec(config: ModelConfig, weights: Weights | None = None) -> Codec:
    """Return the codec that a model was trained with.

    Args:
      config: names the codec.
      weights: what `load_codec` read; the strides are known without them. Products run in the type
        of `linear.product_type`.

    Returns:
      A codec whose functions raise an InputError where weights are missing, and where a video has
      frames or sides that do not divide.
    """
    strides = strides_of(config.codec, config.codec_stride)
    if config.codec == "pixels":
        return Codec(
            functools.partial(_fold, config.codec_stride),
            functools.partial(_unfold, config.codec_stride),
            *strides,
        )
    if weights is None:
        missing = functools.partial(_missing, config.codec)
        return Codec(missing, missing, *strides)
    params: Any = computing_weights(config, weights)
    encode, decode = (functools.partial(f, params) for f in _functions(config.codec, params))

    def checked(frames: Float[Array, "*b t H W 3"]) -> Float[Array, "*b f h w c"]:
        check_video(config.codec, strides, *frames.shape[-4:-1])
        return _one_by_one(encode, frames)

    return Codec(checked, functools.partial(_one_by_one, decode), *strides)


def computing_weights(config: ModelConfig, weights: Weights | None) -> Weights | None:
    """Return weights in the type in which the codec computes; those of `pixels` are None."""
    return jax.tree.map(lambda x: x.astype(product_type(config)), weights)


@functools.lru_cache(maxsize=1)
def load_codec(
    codec: str,
    path: str,
    kind: DTypeLike = jnp.float32,
    mesh: Mesh | None = None,
    *,
    on_host: bool = False,
) -> Weights | None:
    """Read the weights of a codec and keep them for the next call; `pixels` has none.

    Args:
      codec: the name of the codec.
      path: a file that `save_codec` wrote.
      kind: the type of the result.
      mesh: puts them on each of its devices.
      on_host: leaves them in the host's memory.

    Raises:
      InputError: no file is named, or it is not a whole one of this codec.
    """
    if codec == "pixels":
        return None
    if not path:
        _missing(codec)
    stored_codec = load_metadata(path).get("codec", "no codec")
    if stored_codec != codec:
        raise InputError("codec", path, stored_codec, codec, "give --codec_weights another file")
    everywhere = NamedSharding(mesh, PartitionSpec()) if mesh else None
    stored: Any = flatten_dict(_like(codec, path), sep=".")
    like = {
        name: jax.ShapeDtypeStruct(x.shape, kind, sharding=everywhere) for name, x in stored.items()
    }
    with jax.ensure_compile_time_eval():  # kept arrays must not belong to a trace under way
        return load_params(path, unflatten_dict(like, sep="."), on_host=on_host)[0]


def codec_weights(
    config: Config, mesh: Mesh | None = None, *, on_host: bool = False
) -> Weights | None:
    """Return the weights of the experiment's codec, in the type in which it computes.

    Raises:
      InputError: as in `load_codec`.
    """
    model = config.model
    kind = product_type(model)
    return load_codec(model.codec, config.codec_weights, kind, mesh, on_host=on_host)


def codec_shapes(config: Config) -> Weights | None:
    """Return the shapes of the codec's weights; without a file, of the published ones.

    Raises:
      InputError: the file has no tensors of this codec.
    """
    codec = config.model.codec
    if codec == "pixels":
        return None
    if config.codec_weights:
        return _like(codec, config.codec_weights)
    return wan_vae.abstract_params(KINDS[codec])


def codec_id(config: Config) -> str:
    """Return a name of the codec and its weights; codecs of other names make other latents.

    Raises:
      InputError: weights are needed, and no usable file of weights is named.
    """
    model = config.model
    if model.codec == "pixels":
        return f"pixels, {model.codec_stride} x {model.codec_stride}"
    if not config.codec_weights:
        _missing(model.codec)
    load_metadata(config.codec_weights)  # refuses what is no such file
    with Path(config.codec_weights).open("rb") as file:
        return f"{model.codec} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def save_codec(path: Path, codec: str, weights: Weights) -> None:
    """Write weights (bfloat16) that `load_codec` reads."""
    save_params(path, weights, {"codec": codec})


def published_codec_file(source: Path) -> tuple[Path, str]:
    """Return the file of weights that `convert_codec` reads, and its SHA-256.

    Raises:
      InputError: there is no such file.
    """
    path = find_vae(source)
    with path.open("rb") as file:
        return path, hashlib.file_digest(file, "sha256").hexdigest()


def convert_codec(source: Path) -> tuple[str, Weights]:
    """Read the name of a codec and its weights, float32, from published files.

    Args:
      source: what `wan_vae_weights.convert_vae` takes.

    Raises:
      InputError: they are other files, or a VAE with other strides or latents than Wan's.
    """
    config, weights = convert_vae(source)
    name = "wan22" if config.residual else "wan21"
    if config != wan_vae.with_widths(KINDS[name], weights):
        found = f"strides {tuple(config.strides)}, or other stages, means or deviations"
        expected = f"those of {name}: {tuple(KINDS[name].strides)}"
        raise InputError("VAE", source, found, expected, "give one that Wan published")
    return name, weights


def pool_frames(x: Float[Array, "v t h w"], strides: Strides) -> Float[Array, "v f i j"]:
    """Return the largest value in the pixels and frames that each latent stands for."""
    # As if the first frame had been shown before: it is a latent frame of its own.
    x = jnp.concatenate([jnp.repeat(x[:, :1], strides.frames - 1, 1), x], 1)
    pool = "v (t a) (h i) (w j) -> v t h w"
    return reduce(x, pool, "max", a=strides.frames, i=strides.pixels, j=strides.pixels)


def _like(codec: str, path: str) -> Weights:
    """Return the names and shapes that a codec's file must have; it decides Wan's widths."""
    stored = {n: jax.ShapeDtypeStruct(x, jnp.float32) for n, x in tensor_shapes(path).items()}
    try:
        config = wan_vae.with_widths(KINDS[codec], unflatten_dict(stored, sep="."))
    except KeyError as error:
        found = f"no tensor {error}"
        do = "convert it again"
        raise InputError("codec", path, found, f"all tensors of {codec}", do) from None
    return wan_vae.abstract_params(config)


def _functions(codec: str, weights: Weights) -> tuple[Convert, Convert]:
    """Return the functions that encode and decode with such weights."""
    config = wan_vae.with_widths(KINDS[codec], weights)
    return functools.partial(wan_vae.encode, config), functools.partial(wan_vae.decode, config)


def _one_by_one(
    convert: Callable[[Float[Array, "1 t h w c"]], Float[Array, "1 f i j k"]],
    x: Float[Array, "*b t h w c"],
) -> Float[Array, "*b f i j k"]:
    """Convert one video after the other, so that memory does not depend on their number."""
    videos = x.reshape(-1, 1, *x.shape[-4:])
    out = jax.lax.map(convert, videos)
    return out.reshape(*x.shape[:-4], *out.shape[-4:])


def _fold(side: int, frames: Float[Array, "*b t H W 3"]) -> Float[Array, "*b t h w c"]:
    return rearrange(frames, "... (h i) (w j) c -> ... h w (i j c)", i=side, j=side)


def _unfold(side: int, latents: Float[Array, "*b t h w c"]) -> Float[Array, "*b t H W 3"]:
    return rearrange(latents, "... h w (i j c) -> ... (h i) (w j) c", i=side, j=side)


def _missing(codec: str, *_: Any) -> Any:
    """Refuse a codec without weights."""
    expected = "a file of `full4d convert codec`"
    do = "give its path as --codec_weights"
    raise InputError("config", f"codec_weights for {codec}", "no weights", expected, do)
