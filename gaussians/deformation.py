"""Gaussians in time: the `deformation` model, one set of canonical Gaussians and a field that bends
them (4DGS, Wu et al. 2024; the motion of 4Real-Video and Full-4D).

With features f from a HexPlane and an MLP of one hidden layer,

    (1)  (d_mu, d_q, d_s) = W2 relu(W1 f(mu, t) + b1)
    (2)  at t:  mu + d_mu,  q + d_q,  log s + d_s;  opacity and colour do not change

W2 starts at zero, so that the scene starts still. Unlike in `motion`, every Gaussian exists at all
times: what appears must come from somewhere.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from gaussians import hexplane
from gaussians.motion import DynamicGaussians
from gaussians.precision import exact_products
from gaussians.types import Gaussians

RESOLUTION = 24  # samples of the planes along an axis of space
FEATURES = 8  # channels of each plane
HIDDEN = 32  # units of the MLP
SHARE_OUTSIDE = (
    0.02  # share of the Gaussians that may lie outside the planes at each end of an axis
)


class DeformingGaussians(NamedTuple):
    """A scene over a clip; time runs from 0 (first frame) to 1 (last frame).

    Attributes:
      gaussians: canonical Gaussians, raw parameters.
      planes: features over the box and the clip.
      inner: W1.
      bias: b1.
      outer: W2.
      box: lower and upper corner of the planes in world units; not fitted.
    """

    gaussians: Gaussians
    planes: hexplane.HexPlane
    inner: Float[Array, "c hidden"]
    bias: Float[Array, "hidden"]
    outer: Float[Array, "hidden 10"]
    box: Float[Array, "2 3"]

    @exact_products
    def at(self, time: Float[Array, ""] | float) -> Gaussians:
        """Return the scene at one instant, equations 1 and 2; differentiable, also in `time`."""
        low, high = lax.stop_gradient(self.box)
        points = (self.gaussians.means - low[None]) / (high - low)[None]
        features = hexplane.interpolate_planes(self.planes, points, time)
        change = jax.nn.relu(features @ self.inner + self.bias[None]) @ self.outer
        return self.gaussians._replace(
            means=self.gaussians.means + change[:, :3],
            quaternions=self.gaussians.quaternions + change[:, 3:7],
            log_scales=self.gaussians.log_scales + change[:, 7:],
        )

    def map_gaussians(self, change: Callable[[Array], Array]) -> "DeformingGaussians":
        """Apply `change` to every array that has a row for each Gaussian."""
        return self._replace(gaussians=jax.tree.map(change, self.gaussians))


Scene = DynamicGaussians | DeformingGaussians


def deforming(gaussians: Gaussians, instants: int, key: Array) -> DeformingGaussians:
    """Return a still scene that can learn to move.

    Args:
      gaussians: canonical Gaussians.
      instants: samples of the planes along time.
      key: decides the random planes and the weights.

    Raises:
      ValueError: There are fewer than 3 instants, which cannot bend.
    """
    if instants < 3:
        raise ValueError(f"a deformation needs at least 3 instants, found {instants}")
    planes_key, inner_key = jax.random.split(key)
    channels = 3 * FEATURES
    box = jnp.quantile(gaussians.means, jnp.array([SHARE_OUTSIDE, 1 - SHARE_OUTSIDE]), axis=0)
    return DeformingGaussians(
        gaussians,
        hexplane.create(RESOLUTION, instants, FEATURES, planes_key),
        inner=jax.random.normal(inner_key, (channels, HIDDEN)) * (2 / channels) ** 0.5,
        bias=jnp.zeros(HIDDEN),
        outer=jnp.zeros((HIDDEN, 10)),
        box=box + jnp.array([[-1e-3], [1e-3]]),  # not empty where all lie in one plane
    )
