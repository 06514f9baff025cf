"""Marks of arrays, which show whether a restored state equals the saved one, bit for bit.

A mark is a 64-bit hash of an array's bits and their places: a sum modulo 2^32, which does not
depend on the order. So it does not depend on the sharding either, is computed where the shards are,
and a state saved on one topology can be checked on another. Any change of one element changes it.
Marks show damage, not forgery.
"""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped, UInt32

from full4d_jax.models.sharding import dotted


def marks(tree: Any) -> dict[str, str]:
    """Return 16 hexadecimal digits for each array of a pytree, by its dotted path."""
    # One after the other: on simulated devices, several communicating programs can deadlock.
    leaves = jax.tree.leaves_with_path(tree)
    read = {dotted(path): jax.device_get(_mark(x)) for path, x in leaves}
    return {name: "".join(f"{int(word):08x}" for word in pair) for name, pair in read.items()}


def check_marks(tree: Any, saved: dict[str, str]) -> None:
    """Compare a pytree with the marks made when it was saved.

    Raises:
      ValueError: an array differs; the message names the first.
    """
    current = marks(tree)
    for name in sorted(set(current) | set(saved)):
        if current.get(name) != saved.get(name):
            raise ValueError(f"array {name} is not what was saved")


def digest(record: dict[str, Any]) -> str:
    """Return the SHA-256 of a record as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


@jax.jit
def _mark(x: Shaped[Array, "..."]) -> UInt32[Array, "2"]:
    bits = _bits(x)
    place = jnp.zeros(bits.shape, jnp.uint32)
    strides = np.cumprod((1, *bits.shape[:0:-1]))[::-1]
    for axis, stride in zip(range(bits.ndim), strides, strict=False):  # a scalar has no axis
        iota = jax.lax.broadcasted_iota(jnp.uint32, bits.shape, axis)
        place += iota * np.uint32(stride % 2**32)
    hashed = _mix(bits ^ _mix(place))
    return jnp.stack(
        [hashed.sum(dtype=jnp.uint32), (hashed * (2 * place + 1)).sum(dtype=jnp.uint32)]
    )


def _bits(x: Shaped[Array, "..."]) -> UInt32[Array, "..."]:
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint32)
    width = min(x.dtype.itemsize, 4)  # 8 bytes become two words, on a further axis
    words = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32}[width]
    return jax.lax.bitcast_convert_type(x, words).astype(jnp.uint32)


def _mix(x: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """Apply a bijection of 32 bits (the end of MurmurHash3)."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
