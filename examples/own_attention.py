"""Train with an attention of your own: here a window over time in which all views meet.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/own_attention.py
"""

import jax
import jax.numpy as jnp
from train_sharded import train

from full4d_jax import load_config
from full4d_jax.models.dit.attention.mask import Pattern, Tokens

REACH = 1  # latent frames to either side


def windowed(q: Tokens, k: Tokens, v: Tokens, pattern: Pattern) -> Tokens:
    """Let every token read all views, at most `REACH` latent frames away."""
    views, frames, tokens = pattern.grid
    time = jnp.tile(jnp.repeat(jnp.arange(frames), tokens), views)
    near = abs(time[:, None] - time[None]) <= REACH
    flat = (x.reshape(len(x), -1, *x.shape[-2:]) for x in (q, k, v))
    return jax.nn.dot_product_attention(*flat, mask=near[None, None]).reshape(q.shape)


def main(steps: int = 3) -> list[float]:
    """Take some steps with it; return their losses."""
    return train(load_config("debug"), steps, attend=windowed)


if __name__ == "__main__":
    main()
