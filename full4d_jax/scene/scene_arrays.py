"""A 4D scene as named arrays, as `scene.npz` holds it."""

from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy import ndarray

from gaussians import DeformingGaussians, DynamicGaussians, Gaussians, Scene


def to_arrays(scene: Scene) -> dict[str, ndarray]:
    """Return a scene as named arrays, float32."""
    parts = scene._asdict()
    parts |= parts.pop("gaussians")._asdict()
    return {name: np.asarray(x) for name, x in parts.items()}


def from_arrays(arrays: Mapping[str, ndarray]) -> Scene:
    """Return the scene of named arrays; the inverse of `to_arrays`."""

    def some(names: Iterable[str]) -> dict[str, Array]:
        return {name: jnp.asarray(arrays[name], jnp.float32) for name in names}

    static = Gaussians(**some(Gaussians._fields))
    if "moments" in arrays:
        return DynamicGaussians(static, **some(DynamicGaussians._fields[1:]))
    return DeformingGaussians(static, **some(DeformingGaussians._fields[1:]))


def background_in(arrays: Mapping[str, ndarray]) -> Float[ndarray, "3"]:
    """Return the colour behind the scene of named arrays; black where they hold none."""
    return np.asarray(arrays.get("background", np.zeros(3)), np.float32)
