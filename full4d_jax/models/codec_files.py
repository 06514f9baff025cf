"""Weights of codecs, from files."""

from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.typing import DTypeLike

from full4d_jax.config import Config
from full4d_jax.config.codecs import KINDS
from full4d_jax.models import functional
from full4d_jax.models.codec import Weights, refuse_missing
from full4d_jax.models.dit import linear, sharding
from full4d_jax.models.wan import vae, vae_weights
from full4d_jax.models.weights import (
    load_metadata,
    load_params,
    save_params,
    tensor_shapes,
)
from full4d_jax.session.errors import InputError, input_errors
from input_pipeline.plain_files import file_hash


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
        refuse_missing(model.codec)
    kind = linear.product_type(model)
    return _load(model.codec, config.codec_weights, kind, mesh, on_host)


@lru_cache(maxsize=1)
def _load(
    codec: str, path: str, kind: DTypeLike, mesh: Mesh | None, on_host: bool
) -> Weights:
    """Read the weights of a codec, as `codec_weights` returns them."""
    stored = load_metadata(path).get("codec", "no codec")
    if stored != codec:
        raise InputError("codec", path, stored, codec, "give other --codec_weights")
    like = sharding.shapes_on(mesh, _like(codec, path), kind)
    # Kept arrays must not belong to a trace under way.
    with jax.ensure_compile_time_eval():
        return load_params(path, like, on_host=on_host)


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
        refuse_missing(model.codec)
    # Refuses what is no such file.
    load_metadata(config.codec_weights)
    return f"{model.codec} sha256:{file_hash(Path(config.codec_weights))}"


def save_codec(path: Path, codec: str, weights: Weights) -> None:
    """Write weights (bfloat16) that `codec_weights` reads."""
    save_params(path, weights, {"codec": codec})


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


def _like(codec: str, path: str) -> Weights:
    """Return the names and shapes that a codec's file must have; it decides Wan's widths."""
    shapes = tensor_shapes(path).items()
    stored = {name: jax.ShapeDtypeStruct(x, jnp.float32) for name, x in shapes}
    with input_errors("codec", "convert it again", path):
        config = vae.with_widths(KINDS[codec], functional.nested(stored))
    return vae.abstract_params(config)
