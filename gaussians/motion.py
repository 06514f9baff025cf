"""Gaussians in time: the `freetime` model (after FreeTimeGS, with a gate for what never changes).

At clip time t in [0, 1], a Gaussian whose own moment is mu_t, with duration s, velocity v, gate g:

    (1)  centre   x(t) = mu + v (t - mu_t)
    (2)  opacity  o(t) = o [g + (1 - g) exp(-((t - mu_t) / s)^2 / 2)]

Shape and colour do not change. A gate of 1 makes a static Gaussian, a gate of 0 a passing one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gaussians.types import Gaussians


class DynamicGaussians(NamedTuple):
    """A scene over a clip; time runs from 0 (first frame) to 1 (last frame).

    Attributes:
      gaussians: every Gaussian at its own moment, raw parameters.
      velocities: world units per clip.
      moments: time at which each is most visible, in clips.
      log_durations: logarithm of how long each is visible, one standard deviation, in clips.
      logit_gates: share of the opacity that is always there, before the sigmoid.
    """

    gaussians: Gaussians
    velocities: Float[Array, "g 3"]
    moments: Float[Array, "g"]
    log_durations: Float[Array, "g"]
    logit_gates: Float[Array, "g"]

    @jax.jit
    def at(self, time: Float[Array, ""] | float) -> Gaussians:
        """Return the scene at one instant, equations 1 and 2; differentiable, also in `time`."""
        since = time - self.moments
        means = self.gaussians.means + self.velocities * since[:, None]
        return self.gaussians._replace(
            means=means, logit_opacities=self._logit_opacities(since)
        )

    def map_gaussians(self, change: Callable[[Array], Array]) -> "DynamicGaussians":
        """Apply `change` to every array that has a row for each Gaussian."""
        return jax.tree.map(change, self)

    def _logit_opacities(self, since: Float[Array, "g"]) -> Float[Array, "g"]:
        """Return equation 2 as logits, in logarithms because both factors may be nearly 0."""
        falloff = -0.5 * (since * jnp.exp(-self.log_durations)) ** 2
        log_visible = jnp.logaddexp(
            jax.nn.log_sigmoid(self.logit_gates),
            jax.nn.log_sigmoid(-self.logit_gates) + falloff,
        )
        log_opacity = jax.nn.log_sigmoid(self.gaussians.logit_opacities) + log_visible
        # An opacity that rounds to 1 has no finite logit.
        log_opacity = jnp.minimum(log_opacity, -1e-6)
        return log_opacity - jnp.log(-jnp.expm1(log_opacity))


@jax.jit
def still(gaussians: Gaussians) -> DynamicGaussians:
    """Return a static scene as a dynamic one: always there, never moving."""
    zero = jnp.zeros_like(gaussians.logit_opacities)
    return DynamicGaussians(
        gaussians, jnp.zeros_like(gaussians.means), zero + 0.5, zero, zero + 12.0
    )
