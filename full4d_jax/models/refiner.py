"""A convolutional head at latent resolution for models trained from scratch in the pixel codec.

Tokens of 8 x 8 pixels know what is there but not exactly where; three 3 x 3 convolutions that also
read the noisy latents and the projection put edges back in place.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


class Refiner(nnx.Module):
    """The layers from features and inputs at latent resolution to the network's output."""

    def __init__(self, inputs: int, channels: int, outputs: int, rngs: nnx.Rngs):
        def conv(i: int, o: int, init) -> nnx.Conv:
            return nnx.Conv(i, o, (3, 3), kernel_init=init, rngs=rngs)

        scaled = nnx.initializers.lecun_normal()
        self.enter = conv(channels + inputs, channels, scaled)
        self.middle = conv(channels, channels, scaled)
        self.leave = conv(channels, outputs, nnx.initializers.zeros)

    def __call__(
        self, features: Float[Array, "b v t h w k"], inputs: Float[Array, "b v t h w i"]
    ) -> Float[Array, "b v t h w c"]:
        """Apply the layers to every frame on its own."""
        x = jnp.concatenate([features, inputs], -1)
        x = x.reshape(-1, *x.shape[-3:]).astype(self.enter.kernel[...].dtype)
        x = jax.nn.silu(self.enter(x))
        x = x + jax.nn.silu(self.middle(x))
        return self.leave(x).reshape(*features.shape[:-1], -1).astype(jnp.float32)
