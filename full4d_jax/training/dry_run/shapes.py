"""Shapes and shardings of a training step's inputs, of which none is allocated."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh, NamedSharding

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config
from full4d_jax.config.codecs import strides_of
from full4d_jax.generation.batch import Batch
from full4d_jax.generation.projected import ProjectedBatch
from full4d_jax.models.codecs.codec import Weights, codec_shapes, computing_weights
from full4d_jax.models.conditions import reads_filled
from full4d_jax.models.sharding import spec
from full4d_jax.models.wan.text import TOKENS
from full4d_jax.training.bad_losses import RunningLoss, no_losses
from full4d_jax.training.program import runs_codec


def losses_shapes(mesh: Mesh | AbstractMesh) -> RunningLoss:
    """Return the running loss, whole on every device."""
    shapes = jax.eval_shape(no_losses)
    return _on(shapes, jax.tree.map(lambda _: NamedSharding(mesh, spec()), shapes))


def batch_shapes(config: Config, mesh: Mesh | AbstractMesh) -> Batch | ProjectedBatch:
    """Return a batch as training takes it, sharded over samples: pictures, or what is encoded."""
    batch = _projected(config) if config.data.projections else _pictures(config)
    cut = jax.tree.map(
        lambda x: NamedSharding(mesh, spec("samples", *[None] * (len(x.shape) - 1))), batch
    )
    return _on(batch, cut)


def frozen_shapes(config: Config, mesh: Mesh | AbstractMesh) -> tuple[Weights | None]:
    """Return what a step takes besides, whole on every device: weights of the codec."""
    weights = codec_shapes(config) if runs_codec(config) else None
    weights = jax.eval_shape(partial(computing_weights, config.model), weights)
    return (_on(weights, jax.tree.map(lambda _: NamedSharding(mesh, spec()), weights)),)


def _pictures(config: Config) -> Batch:
    data = config.data
    clips = config.training.batch
    size = data.frames, data.height, data.width
    cameras = Cameras(
        _array(clips, data.views, 3, 3),
        _array(clips, data.views, data.frames, 4, 4),
        data.height,
        data.width,
    )
    pictures = _array(clips, data.views, *size, 3)
    depth = _array(clips, *size)
    return Batch(pictures, depth, cameras, text=_texts(config, jnp.float32))


def _projected(config: Config) -> ProjectedBatch:
    model = config.model
    data = config.data
    strides = strides_of(model.codec, model.codec_stride)
    frames = strides.latent_frames(data.frames)
    size = frames, data.height // strides.pixels, data.width // strides.pixels
    clips = config.training.batch
    channels = strides.channels
    half = jnp.float16
    grid = clips, data.views
    latents = _array(*grid, *size, channels, kind=half)
    return ProjectedBatch(
        latents=latents,
        projection=latents,
        filled=latents if reads_filled(model) else None,
        mask=_array(*grid, *size, kind=jnp.uint8),
        disparity=_array(*grid, *size, kind=half),
        nothing=_array(clips, *size, channels, kind=half),
        world_to_camera=_array(*grid, frames, 4, 4),
        intrinsics=_array(*grid, 3, 3),
        text=_texts(config, half),
    )


def _texts(config: Config, kind: Any) -> Any:
    if not config.data.captions:
        return None
    return _array(config.training.batch, TOKENS, config.model.text_width, kind=kind)


def _array(*sides: int, kind: Any = jnp.float32) -> Any:
    return jax.ShapeDtypeStruct(sides, kind)


def _on(shapes: Any, shardings: Any) -> Any:
    return jax.tree.map(
        lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
        shapes,
        shardings,
    )
