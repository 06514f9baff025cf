"""Parametrisations: what the network's output means, and the heads that make it.

A parametrisation wraps the network in both directions:

    embed(guide, noisy) -> Embedded              what the guide and the blocks see
    heads                                        linear layers from tokens to patches
    predict(maps, inputs, noisy) -> Predicted    what the heads' maps mean

`Velocity` leaves both as they are. `Residual` (`flow`, from a first guess g of the data that is
s away from it) shows the network latents of unit variance and adds g to what it says; g is the
filled projection or, without any, the nearest real frame.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from full4d_jax import flow
from full4d_jax.config import ModelConfig
from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit.conditions import Conditions
from full4d_jax.models.dit.guides import Embedded, Guide, Maps
from full4d_jax.models.dit.linear import Linear, linear

# Of the heads.
Features = Float[Array, "b v t h w k"]
# Of all views, the clean ones too.
AllViews = Float[Array, "b n t h w c"]


class Predicted(NamedTuple):
    """Outputs of the network for the generated views.

    Attributes:
      velocity: of the latents.
      motion: from each pixel to where the nearest real frame shows it, pixels; None where the
        parametrisation moves no base.
    """

    velocity: Latents
    motion: Float[Array, "b v t h w 2"] | None = None


class Noisy(NamedTuple):
    """A grid of which the network says the velocity.

    Attributes:
      latents: noisy latents of the generated views.
      tau: their flow times.
      conditions: what all views are generated from.
    """

    latents: Latents
    tau: Times
    conditions: Conditions

    def of_generated(self, x: Float[Array, "b n ..."]) -> Float[Array, "b v ..."]:
        """Return the views that are generated, which come last."""
        return x[:, x.shape[1] - self.latents.shape[1] :]

    def around(self, guess: AllViews) -> tuple[Latents, Times, Latents, flow.Sigma]:
        """Return latents, flow times of frames, the guess, and s: arguments of `flow`."""
        real = self.conditions.real
        tau = self.tau
        # Real frames are clean.
        times = tau if real is None else jnp.where(real, 0.0, flow.bcast(tau, real))
        sigma = deviation(self.of_generated(self.conditions.mask)[..., None])
        return self.latents, times, self.of_generated(guess), sigma


class Velocity(nnx.Module):
    """The network's output is the velocity."""

    def __init__(
        self, config: ModelConfig, rngs: nnx.Rngs, inputs: int, more_inputs: int = 0
    ):
        channels = config.strides.channels
        area = config.patch**2
        if config.refiner:
            self.head = linear(config.width, config.refiner * area, rngs)
            read = inputs + more_inputs
            self.refiner = Refiner(read, config.refiner, channels, rngs)
        else:
            self.head = linear(config.width, channels * area, rngs, zero=True)

    @property
    def heads(self) -> Sequence[Linear]:
        """The layers that turn the last tokens into patches, whose channels are joined."""
        return [self.head]

    def refined(self, maps: Features, inputs: Maps) -> Latents:
        """Return the head's maps, refined where the model has a refiner."""
        return self.refiner(maps, inputs) if hasattr(self, "refiner") else maps

    def embed(self, guide: Guide, noisy: Noisy) -> Embedded:
        """Embed the latents as they are."""
        return guide.embed(noisy.latents, noisy.conditions)

    def predict(self, maps: Features, inputs: Maps, noisy: Noisy) -> Predicted:
        """Return the output as the velocity."""
        del noisy
        return Predicted(self.refined(maps, inputs))


class Residual(Velocity):
    """The network's output is a residual of a first guess."""

    def embed(self, guide: Guide, noisy: Noisy) -> Embedded:
        """Embed latents of unit variance around the guess."""
        unit = flow.normalise_residual(*noisy.around(noisy.conditions.base))
        return guide.embed(unit, noisy.conditions)

    def predict(self, maps: Features, inputs: Maps, noisy: Noisy) -> Predicted:
        """Return the velocity to the guess and what the network adds to it."""
        residual = self.refined(maps, inputs)
        known = noisy.around(noisy.conditions.base)
        return Predicted(flow.velocity_from_residual(residual, *known))


def deviation(mask: Float[Array, "b v t h w 1"]) -> Float[Array, "b v t h w 1"]:
    """Return s of `flow`: how far the data are from the filled projection, where seen or not."""
    seen = 0.13
    hole = 0.30
    return jnp.where(mask > 0, seen, hole)


class Refiner(nnx.Module):
    """A convolutional head at latent resolution, for models trained from scratch on pixels.

    Tokens of 8 x 8 pixels know what is there but not exactly where; three 3 x 3 convolutions that
    also read the noisy latents and the projection put edges back in place.
    """

    def __init__(self, inputs: int, channels: int, outputs: int, rngs: nnx.Rngs):
        self.enter = nnx.Conv(channels + inputs, channels, (3, 3), rngs=rngs)
        self.middle = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        zeros = nnx.initializers.zeros
        self.leave = nnx.Conv(channels, outputs, (3, 3), kernel_init=zeros, rngs=rngs)

    def __call__(self, features: Float[Array, "*n h w k"], inputs: Maps) -> Latents:
        """Apply the layers to every frame on its own."""
        x = jnp.concatenate([features, inputs], -1)
        x = x.reshape(-1, *x.shape[-3:]).astype(self.enter.kernel[...].dtype)
        x = jax.nn.silu(self.enter(x))
        x = x + jax.nn.silu(self.middle(x))
        return self.leave(x).reshape(*features.shape[:-1], -1).astype(jnp.float32)
