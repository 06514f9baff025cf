"""Codecs between frames and latents: pairs of functions.

pixels  the embedded default, no weights: folds stride x stride pixels into channels, invertibly.
wan21   Wan 2.1's causal video VAE (`vae`), 4 frames x 8 x 8 pixels.
wan22   Wan 2.2's, 4 frames x 16 x 16 pixels.

Strides are known without weights (`config.codecs`). Weights are a pytree that `codec_weights`
reads once and jitted functions take as an argument. In the causal codecs the first frame is a
latent frame of its own and each further one stands for 4 frames, so that videos have 1 + 4 n.
"""

import hashlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from einops import rearrange, reduce
from jax.sharding import Mesh
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from full4d_jax.config import Config, ModelConfig
from full4d_jax.config.codecs import KINDS, Strides, check_video
from full4d_jax.models import functional
from full4d_jax.models.dit import linear, sharding
from full4d_jax.models.wan import vae, vae_weights
from full4d_jax.models.weights import (
    load_metadata,
    load_params,
    save_params,
    tensor_shapes,
)
from full4d_jax.session.errors import InputError, input_errors

Frames = Float[Array, "*b t H W 3"]
Latents = Float[Array, "*b f h w c"]
Weights = dict[str, Any]
# Of `pixels`.
FOLDED = "... (h i) (w j) c -> ... h w (i j c)"
UNFOLDED = "... h w (i j c) -> ... (h i) (w j) c"


class Codec(NamedTuple):
    """A pair of functions between frames in [-1, 1] and latents.

    Attributes:
      encode: maps frames to latents; leading axes are free.
      decode: maps latents to frames.
    """

    encode: Callable[[Frames], Latents]
    decode: Callable[[Latents], Frames]


def make_codec(config: ModelConfig, weights: Weights | None = None) -> Codec:
    """Return the codec that a model was trained with.

    Args:
      config: names the codec.
      weights: what `codec_weights` read; the strides are known without them. Products run in the
        type of `linear.product_type`.

    Returns:
      A codec whose functions raise an InputError where weights are missing, and where a video has
      frames or sides that do not divide.
    """
    if config.codec == "pixels":
        side = config.codec_stride
        fold = partial(rearrange, i=side, j=side)
        return Codec(partial(fold, pattern=FOLDED), partial(fold, pattern=UNFOLDED))
    if weights is None:
        missing = partial(_missing, config.codec)
        return Codec(missing, missing)
    params: Any = computing_weights(config, weights)
    kind = vae.with_widths(KINDS[config.codec], params)

    def encode(frames):
        check_video(config.codec, kind.strides, *frames.shape[-4:-1])
        return _one_by_one(partial(vae.encode, kind, params), frames)

    decode = partial(vae.decode, kind, params)
    return Codec(encode, partial(_one_by_one, decode))


def computing_weights(config: ModelConfig, weights: Weights | None) -> Weights | None:
    """Return weights in the type in which the codec computes; those of `pixels` are None."""
    return jax.tree.map(lambda x: x.astype(linear.product_type(config)), weights)


def codec_weights(
    config: Config, mesh: Mesh | None = None, *, on_host: bool = False
) -> Weights | None:
    """Return the weights of the experiment's codec, in the type in which it computes.

    They are kept for the next call; `pixels` has none.

    Args:
      config: names the codec, and a file that `save_codec` wrote.
      mesh: puts them on each of its devices.
      on_host: leaves them in the host's memory.

    Raises:
      InputError: no file is named, or it is not a whole one of this codec.
    """
    model = config.model
    if model.codec == "pixels":
        return None
    if not config.codec_weights:
        _missing(model.codec)
    kind = linear.product_type(model)
    return _load(model.codec, config.codec_weights, kind, mesh, on_host)


@lru_cache(maxsize=1)
def _load(
    codec: str, path: str, kind: DTypeLike, mesh: Mesh | None, on_host: bool
) -> Weights:
    """Read the weights of a codec, as `codec_weights` returns them."""
    stored = load_metadata(path).get("codec", "no codec")
    if stored != codec:
        raise InputError(
            "codec", path, stored, codec, "give --codec_weights another file"
        )
    like = sharding.shapes_on(mesh, _like(codec, path), kind)
    # Kept arrays must not belong to a trace under way.
    with jax.ensure_compile_time_eval():
        return load_params(path, like, on_host=on_host)[0]


def codec_shapes(config: Config, mesh: sharding.AnyMesh) -> Weights | None:
    """Return the shapes of the codec's weights as it computes, whole on each device of a mesh.

    Without a file they are those of the published ones; `pixels` has none.

    Raises:
      InputError: the file has no tensors of this codec.
    """
    codec = config.model.codec
    if codec == "pixels":
        return None
    file = config.codec_weights
    shapes = _like(codec, file) if file else vae.abstract_params(KINDS[codec])
    return sharding.shapes_on(mesh, shapes, linear.product_type(config.model))


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
    # Refuses what is no such file.
    load_metadata(config.codec_weights)
    return f"{model.codec} sha256:{sha256(Path(config.codec_weights))}"


def save_codec(path: Path, codec: str, weights: Weights) -> None:
    """Write weights (bfloat16) that `codec_weights` reads."""
    save_params(path, weights, {"codec": codec})


def sha256(path: Path) -> str:
    """Return the hash of a file, as other programs print it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def convert_codec(source: Path) -> tuple[str, Weights]:
    """Read the name of a codec and its weights, float32, from published files.

    Args:
      source: what `vae_weights.convert_vae` takes.

    Raises:
      InputError: they are other files, or a VAE with other strides or latents than Wan's.
    """
    config, weights = vae_weights.convert_vae(source)
    name = "wan22" if config.residual else "wan21"
    if config != vae.with_widths(KINDS[name], weights):
        found = f"strides {tuple(config.strides)}, or other stages, means or deviations"
        expected = f"those of {name}: {tuple(KINDS[name].strides)}"
        raise InputError("VAE", source, found, expected, "give one that Wan published")
    return name, weights


def pool_frames(
    x: Float[Array, "v t h w"], strides: Strides
) -> Float[Array, "v f i j"]:
    """Return the largest value in the pixels and frames that each latent stands for."""
    # As if the first frame had been shown before: it is a latent frame of its own.
    x = jnp.concatenate([jnp.repeat(x[:, :1], strides.frames - 1, 1), x], 1)
    pool = "v (t a) (h i) (w j) -> v t h w"
    return reduce(x, pool, "max", a=strides.frames, i=strides.pixels, j=strides.pixels)


def _like(codec: str, path: str) -> Weights:
    """Return the names and shapes that a codec's file must have; it decides Wan's widths."""
    shapes = tensor_shapes(path).items()
    stored = {name: jax.ShapeDtypeStruct(x, jnp.float32) for name, x in shapes}
    with input_errors("codec", "convert it again", path):
        config = vae.with_widths(KINDS[codec], functional.nested(stored))
    return vae.abstract_params(config)


def _one_by_one(
    convert: Callable[[Array], Array], x: Float[Array, "*b t h w c"]
) -> Float[Array, "*b f i j k"]:
    """Convert one video after the other, so that memory does not depend on their number."""
    videos = x.reshape(-1, 1, *x.shape[-4:])
    out = jax.lax.map(convert, videos)
    return out.reshape(*x.shape[:-4], *out.shape[-4:])


def _missing(codec: str, *_: Any) -> Any:
    """Refuse a codec without weights."""
    expected = "a file of `full4d convert codec`"
    do = "give its path as --codec_weights"
    raise InputError("config", f"codec_weights for {codec}", "no weights", expected, do)
