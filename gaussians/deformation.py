"""Gaussians in time: the `deformation` model, one set of canonical Gaussians that a network bends.

The network sees an embedding of each Gaussian (Bae et al. 2024, arXiv 2404.03613), not its place,
as in 4DGS (Wu et al. 2024). With the embedding z and a bias b(t), linear between samples in time,

    (1)  (d_mu, d_q, d_s) = W2 relu(W1 z + b(t))
    (2)  at t:  mu + r d_mu,  q + d_q,  log s + d_s;  opacity and colour do not change

An embedding starts as waves of the Gaussian's place, so that neighbours move alike, and is fitted:
what touches may part. W2 starts at zero, so that the scene starts still. Unlike in `motion`, every
Gaussian exists at all times: what appears must come from somewhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gaussians import motion, precision
from gaussians.types import Gaussians, Scalar


class DeformingGaussians(NamedTuple):
    """A scene over a clip; time runs from 0 (first frame) to 1 (last frame).

    Attributes:
      gaussians: canonical Gaussians, raw parameters.
      embeddings: z of equation 1, what the network sees of each Gaussian.
      inner: W1, the weights of the hidden layer.
      biases: samples of b, evenly from the first frame to the last.
      outer: W2, the weights of the output.
      reach: r of equation 2, in world units; not fitted.
    """

    gaussians: Gaussians
    embeddings: Float[Array, "g e"]
    inner: Float[Array, "e hidden"]
    biases: Float[Array, "t hidden"]
    outer: Float[Array, "hidden 10"]
    reach: Scalar

    @precision.in_own_precision
    @precision.exact_products
    def at(self, time: Scalar | float) -> Gaussians:
        """Return the scene at one instant, equations 1 and 2; differentiable, also in `time`."""
        bias = _sample(self.biases, jnp.asarray(time))
        change = jax.nn.relu(self.embeddings @ self.inner + bias[None]) @ self.outer
        shift = lax.stop_gradient(self.reach) * change[:, :3]
        return self.gaussians._replace(
            means=self.gaussians.means + shift,
            quaternions=self.gaussians.quaternions + change[:, 3:7],
            log_scales=self.gaussians.log_scales + change[:, 7:],
        )

    def map_gaussians(self, change: Callable[[Array], Array]) -> "DeformingGaussians":
        """Apply `change` to every array that has a row for each Gaussian."""
        gaussians = jax.tree.map(change, self.gaussians)
        return self._replace(gaussians=gaussians, embeddings=change(self.embeddings))


Scene = motion.DynamicGaussians | DeformingGaussians


@precision.in_own_precision
@precision.exact_products
def deforming(gaussians: Gaussians, instants: int, key: Array) -> DeformingGaussians:
    """Return a still scene that can learn to move.

    Args:
      gaussians: canonical Gaussians.
      instants: samples of the bias along time.
      key: decides the waves and the weights.

    Raises:
      ValueError: There are fewer than 3 instants, which cannot bend.
    """
    if instants < 3:
        raise ValueError(f"a deformation needs at least 3 instants, found {instants}")
    channels = 16  # of an embedding, an even number
    hidden = 128  # units of the network
    reach = 0.02  # r over the diagonal of the scene: more makes every step of Adam jump
    # Of the Gaussians beyond each end of an axis, which do not count as size.
    outside = 0.02
    waves_key, inner_key, bias_key = jax.random.split(key, 3)
    shares = jnp.array([outside, 1 - outside])
    low, high = jnp.quantile(gaussians.means, shares, axis=0)
    diagonal = jnp.linalg.norm(high - low)
    size = jnp.where(diagonal > 0, diagonal, 1.0)
    # A turn of a wave is about as long as the scene.
    turns = jax.random.normal(waves_key, (3, channels // 2))
    phases = 2 * jnp.pi * (gaussians.means - low[None]) / size @ turns
    bias = 0.5 * jax.random.normal(bias_key, (hidden,))
    return DeformingGaussians(
        gaussians,
        embeddings=jnp.concatenate([jnp.sin(phases), jnp.cos(phases)], 1),
        inner=jax.random.normal(inner_key, (channels, hidden)) * (2 / channels) ** 0.5,
        biases=jnp.tile(bias, (instants, 1)),
        outer=jnp.zeros((hidden, 10)),
        reach=reach * size,
    )


def _sample(samples: Float[Array, "t c"], time: Scalar) -> Float[Array, "c"]:
    """Return samples at a time from 0 (first) to 1 (last): linear between, constant beyond."""
    last = len(samples) - 1
    place = jnp.clip(time, 0.0, 1.0) * last
    before = jnp.clip(jnp.floor(lax.stop_gradient(place)), 0, last - 1).astype(
        jnp.int32
    )
    share = place - before
    return (1 - share) * samples[before] + share * samples[before + 1]
