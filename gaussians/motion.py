"""Gaussians in time: the `freetime` model (after FreeTimeGS, with a gate for what never changes).

At clip time t in [0, 1], a Gaussian whose own moment is mu_t, with duration s, velocity v, gate g:

    (1)  centre   x(t) = mu + v (t - mu_t)
    (2)  opacity  o(t) = o [g + (1 - g) exp(-((t - mu_t) / s)^2 / 2)]

Shape and colour do not change. A gate of 1 makes a static Gaussian, a gate of 0 a transient one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gaussians.precision import in_own_precision
from gaussians.types import Gaussians, Scalar, Values, Vectors


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
    velocities: Vectors
    moments: Values
    log_durations: Values
    logit_gates: Values

    @in_own_precision
    @jax.jit
    def at(self, time: Scalar | float) -> Gaussians:
        """Return the scene at one instant, equations 1 and 2; differentiable, also in `time`."""
        since = time - self.moments
        means = self.gaussians.means + self.velocities * since[:, None]
        logits = self._logit_opacities(since)
        return self.gaussians._replace(means=means, logit_opacities=logits)

    def map_gaussians(self, change: Callable[[Array], Array]) -> "DynamicGaussians":
        """Apply `change` to every array that has a row for each Gaussian."""
        return jax.tree.map(change, self)

    def _logit_opacities(self, since: Values) -> Values:
        """Return equation 2 as logits, in logarithms because both factors may be nearly 0."""
        log = jax.nn.log_sigmoid
        falloff = -0.5 * (since * jnp.exp(-self.log_durations)) ** 2
        visible = jnp.logaddexp(log(self.logit_gates), log(-self.logit_gates) + falloff)
        log_opacity = log(self.gaussians.logit_opacities) + visible
        # An opacity that rounds to 1 has no finite logit.
        log_opacity = jnp.minimum(log_opacity, -1e-6)
        return log_opacity - jnp.log(-jnp.expm1(log_opacity))


@jax.jit
def still(gaussians: Gaussians) -> DynamicGaussians:
    """Return a static scene as a dynamic one: always there, never moving."""
    rest = jnp.zeros_like(gaussians.means)
    zero = jnp.zeros_like(gaussians.logit_opacities)
    return DynamicGaussians(gaussians, rest, zero + 0.5, zero, zero + 12.0)
