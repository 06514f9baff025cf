"""Write a rule for which frames of the grid read which, and run the network with it.

python examples/attention_mask.py
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from full4d_jax import init_state, load_config, train_step
from full4d_jax.config import Fused
from full4d_jax.config.masks import Frames, allowed_frames
from full4d_jax.generation.procedural import procedural_batch

SOURCE = 0  # the view that is given
INSTANTS = 8  # of the grid
REACH = 1  # latent frames to either side that a frame reads in its own view


def near(i: Frames, j: Frames) -> Bool[ndarray, "..."]:
    """May frame i read frame j? Its neighbours in time, its instant, and the source's there."""
    own_view = (i.view == j.view) & (abs(i.time - j.time) <= REACH)
    instant = (i.time == j.time) & (i.half == j.half)
    projected = (i.time == j.time) & (i.half == 0) & (j.half == 1) & (j.view == SOURCE)
    return own_view | instant | projected


def main() -> tuple[float, float]:
    """Return the share of the pairs of frames that the rule allows, and a loss with it."""
    config = load_config("debug")
    mask = (
        f"{__file__}:near"  # as in `full4d train --model.attention.mask FILE.py:NAME`
    )
    data = replace(config.data, frames=INSTANTS)
    config = replace(
        config, model=replace(config.model, attention=Fused(mask)), data=data
    )
    allowed = allowed_frames(data.views, data.frames, cross_half=False, mask=mask)
    print(
        f"{data.views} views of {data.frames} frames: {np.mean(allowed):.0%} of the pairs"
    )

    state = jax.jit(lambda key: init_state(config, key))(jax.random.key(0))
    batch = jax.jit(lambda i: procedural_batch(i, data))(jnp.arange(2))
    _, metrics = jax.jit(train_step(config))(state, batch)
    print(f"loss {float(metrics['loss']):.4f}")
    return float(np.mean(allowed)), float(metrics["loss"])


if __name__ == "__main__":
    main()
