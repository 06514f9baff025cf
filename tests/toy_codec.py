"""Wan's VAEs with few channels and random weights, which encode small pictures in milliseconds."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from full4d_jax.config.codecs import KINDS, WanVaeConfig
from full4d_jax.models.codec_files import save_codec
from full4d_jax.models.functional import by_name
from full4d_jax.models.wan.vae import abstract_params
from full4d_jax.models.wan.vae_weights import source_name


def save_toy_codec(path: Path, codec: str = "wan21") -> str:
    """Write a file of weights; return its path, as `codec_weights` takes it."""
    shapes = abstract_params(dataclasses.replace(KINDS[codec], base=4, decoder_base=4))
    rng = np.random.default_rng(0)
    weights = jax.tree.map(lambda x: np.float32(rng.normal(0, 0.2, x.shape)), shapes)
    save_codec(path, codec, weights)
    return str(path)


def vae_tensors(config: WanVaeConfig, *, diffusers: bool) -> dict[str, np.ndarray]:
    """Distinct numbers under the names of a published layout, with PyTorch's order of axes."""
    tensors: dict[str, np.ndarray] = {}
    for name, x in by_name(abstract_params(config)).items():
        shape = (
            (*x.shape[:-3:-1], *x.shape[:-2])
            if len(x.shape) > 1
            else (*x.shape, 1, 1, 1)
        )
        shape = x.shape if name.endswith("bias") else shape
        start = len(tensors) * 7.0
        values = start + np.arange(np.prod(shape, dtype=int))
        published = source_name(name, config, diffusers=diffusers)
        tensors[published] = values.reshape(shape).astype(np.float32)
    return tensors
