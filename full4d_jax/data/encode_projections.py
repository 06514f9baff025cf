"""Draws of a clip's source and of its depth, projected into all views and encoded."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, Float32, Int, PRNGKeyArray, UInt8

from full4d_jax.cameras import Cameras
from full4d_jax.config import Config
from full4d_jax.generation.batch import make_conditions
from full4d_jax.generation.depth_jitter import draw_depth, draw_shares
from full4d_jax.models.codecs.codec import codec_weights, make_codec
from full4d_jax.models.conditions import reads_filled
from input_pipeline import transforms
from input_pipeline.projections import Projected, projection_to_bytes
from input_pipeline.schema import Example


class Encoded(NamedTuple):
    """What the network reads of one draw; see `Projected`."""

    projection: Float16[Array, "v f i j c"]
    filled: Float16[Array, "v f i j c"] | None
    mask: UInt8[Array, "v f i j"]
    disparity: Float16[Array, "v f i j"]
    nothing: Float16[Array, "f i j c"]


Encoder = Callable[..., Encoded]


def encoded_projections(
    config: Config,
    encoder: Encoder,
    index: int,
    example: Example,
    frames: UInt8[np.ndarray, "v t h w 3"],
) -> Iterator[bytes]:
    """Yield `config.data.projections` files (`input_pipeline.projections`).

    The sources take turns, in random order. All is a pure function of the config and the clip.

    Args:
      config: the experiment; see `projection_encoder`.
      encoder: what `projection_encoder` returned.
      index: of the clip among all that are encoded.
      example: the clip, with pictures of the size of training.
      frames: the pictures of all views, decoded.

    Raises:
      ValueError: no view has depth at all instants, and some at the first; it names the scene.
    """
    views, times, height, width = frames.shape[:4]
    depth = np.zeros((views, times, height, width), np.float32)
    transforms.decode_depths(example, depth)
    sources = [i for i in range(views) if all(example.depth16[i]) and depth[i, 0].any()]
    if not sources:
        expected = "depth at all instants of some view, for its projection into the others"
        raise ValueError(f"scene {example.scene_id}: found none, expected {expected}")
    order = np.random.default_rng((config.seed, index)).permutation(sources)
    key = jax.random.fold_in(jax.random.key(config.seed), index)
    for draw in range(config.data.projections):
        source = int(order[draw % len(order)])
        views_in_order = np.r_[source, np.delete(np.arange(views), source)]
        place = np.argsort(views_in_order)  # back to the record's order
        known, poses = transforms.to_source(depth[source], example.world_to_camera[views_in_order])
        lenses = example.intrinsics[views_in_order]
        encoded = jax.device_get(encoder(frames[source], known, lenses, poses, key, draw))
        filled = None if encoded.filled is None else encoded.filled[place]
        rows = (x[place] for x in (encoded.projection, encoded.mask, encoded.disparity))
        projection, mask, disparity = rows
        yield projection_to_bytes(
            Projected(source, poses[place], projection, filled, mask, disparity, encoded.nothing)
        )


def projection_encoder(config: Config) -> Encoder:
    """Return the jitted program that draws the depth of a source, projects and encodes it.

    Args:
      config: names the codec, and how often depth is corrupted (`data.corrupt_depth`).
    """
    weights = codec_weights(config)
    model = config.model

    @jax.jit
    def encode(
        weights: Any,
        frames: UInt8[Array, "t h w 3"],
        depth: Float32[Array, "t h w"],
        lenses: Float32[Array, "v 3 3"],
        poses: Float32[Array, "v t 4 4"],
        key: PRNGKeyArray,
        draw: Int[Array, ""],
    ) -> Encoded:
        video = frames.astype(jnp.float32) / 127.5 - 1
        depth = draw_depth(draw_shares(key, draw), depth, config.data)
        cameras = Cameras(lenses, poses, *depth.shape[1:])
        conditions, _ = make_conditions(model, video[None], depth[None], cameras, weights)
        return Encoded(
            half(conditions.projection),
            half(conditions.base) if reads_filled(model) else None,
            conditions.mask.astype(jnp.uint8),
            half(conditions.disparity),
            half(make_codec(model, weights).encode(jnp.zeros_like(video))),
        )

    return functools.partial(encode, weights)


def half(x: Float[Array, "*n"]) -> Float16[Array, "*n"]:
    """Return half precision, in which records keep latents."""
    return x.astype(jnp.float16)
