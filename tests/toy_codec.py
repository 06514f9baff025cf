"""Wan's VAEs with few channels and random weights, which encode small pictures in milliseconds."""

import dataclasses
from pathlib import Path

import jax

from full4d_jax.config.codecs import KINDS
from full4d_jax.models.codecs.codec import save_codec
from full4d_jax.models.codecs.wan_vae import abstract_params


def save_toy_codec(path: Path, codec: str = "wan21") -> str:
    """Write a file of weights; return its path, as `codec_weights` takes it."""
    shapes = abstract_params(dataclasses.replace(KINDS[codec], base=4, decoder_base=4))
    keys = iter(jax.random.split(jax.random.key(0), 1000))
    weights = jax.tree.map(lambda x: 0.2 * jax.random.normal(next(keys), x.shape), shapes)
    save_codec(path, codec, weights)
    return str(path)
