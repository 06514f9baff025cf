"""Relocation after 3DGS-MCMC (Kheradmand et al. 2024), with static shapes.

A Gaussian whose opacity has fallen to `DEAD_OPACITY` is of no use where it is. It moves onto a
live one, drawn in proportion to opacity. When N Gaussians come to share one place, the picture
stays nearly the same if the common opacity o and scales S become

    (1)  o' = 1 - (1 - o)^(1/N)
    (2)  S' = S o / sum_{k=1..N} C(N, k) (-1)^(k-1) o'^k / sqrt(k)

(the paper's double sum, with the inner sum carried out). Adam's moments restart at both ends of a
move. A scene may have more room than Gaussians: the rest is dead at first and comes to life here.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gaussians.deformation import Scene
from gaussians.types import Gaussians

DEAD_OPACITY = 0.005
# Copies in the table of equation 2; float32 is too coarse beyond about 50.
MOST_COPIES = 16


@partial(jax.jit, static_argnames="capacity")
def with_room(scene: Scene, capacity: int) -> Scene:
    """Append dead Gaussians to a scene, up to `capacity` in all.

    Raises:
      ValueError: The scene already has more.
    """
    count = scene.gaussians.means.shape[0]
    if count > capacity:
        text = f"capacity {capacity} is less than the {count} Gaussians there are"
        raise ValueError(text)

    def padded(x):
        return jnp.pad(x, [(0, capacity - count)] + [(0, 0)] * (x.ndim - 1))

    unused_logit = -12.0  # of opacity
    larger = scene.map_gaussians(padded)
    opacities = larger.gaussians.logit_opacities.at[count:].set(unused_logit)
    dimmed = larger.gaussians._replace(logit_opacities=opacities)
    return larger._replace(gaussians=dimmed)


def dead(gaussians: Gaussians) -> Bool[Array, "g"]:
    """Return which Gaussians contribute nothing."""
    return jax.nn.sigmoid(gaussians.logit_opacities) <= DEAD_OPACITY


def relocate(
    scene: Scene, moments: tuple[Scene, ...], key: Array, growth: float
) -> tuple[Scene, tuple[Scene, ...]]:
    """Move dead Gaussians onto live ones, at most `growth` times as many as are alive.

    Args:
      scene: the Gaussians.
      moments: those of Adam; they become 0 for Gaussians that move or are moved onto.
      key: decides which live ones are chosen.
      growth: largest number of moves, relative to the live ones.
    """
    gone = dead(scene.gaussians)
    moving = gone & (jnp.cumsum(gone) <= jnp.floor(growth * (~gone).sum()))
    # The Gaussian that every slot will hold, and how many slots hold the same one.
    g = len(gone)
    opacities = jax.nn.sigmoid(scene.gaussians.logit_opacities)
    weight = jnp.cumsum(jnp.where(gone, 0.0, opacities))
    points = weight[-1] * jax.random.uniform(key, (g,))
    drawn = jnp.searchsorted(weight, points, side="right")
    source = jnp.where(moving, jnp.minimum(drawn, g - 1), jnp.arange(g))
    copies = jnp.zeros(g, jnp.int32).at[source].add(1)[source]
    touched = moving | (copies > 1)
    copied = scene.map_gaussians(lambda x: x[source])
    shared = split(copied.gaussians, copies)
    gaussians = jax.tree.map(partial(_where, touched), shared, copied.gaussians)
    restarted = partial(_where, touched, 0.0)
    still = tuple(moment.map_gaussians(restarted) for moment in moments)
    return copied._replace(gaussians=gaussians), still


def split(gaussians: Gaussians, copies: Int[Array, "g"]) -> Gaussians:
    """Return each Gaussian as one of `copies` that together look like it, equations 1 and 2."""
    n = jnp.clip(copies, 1, MOST_COPIES)
    opacity = jax.nn.sigmoid(gaussians.logit_opacities)
    log_left = jax.nn.log_sigmoid(-gaussians.logit_opacities) / n  # log(1 - o')
    shared = -jnp.expm1(log_left)
    k = jnp.arange(1.0, MOST_COPIES + 1)
    series = (_series()[n] * shared[:, None] ** k[None]).sum(-1)
    return gaussians._replace(
        logit_opacities=jnp.log(shared) - log_left,
        log_scales=gaussians.log_scales + jnp.log(opacity / series)[:, None],
    )


def _series() -> Float[Array, "copies powers"]:
    """Return C(n, k) (-1)^(k-1) / sqrt(k) for n up to MOST_COPIES and k from 1."""
    powers = range(1, MOST_COPIES + 1)
    rows = [
        [math.comb(n, k) * (-1) ** (k - 1) / math.sqrt(k) for k in powers]
        for n in (0, *powers)
    ]
    return jnp.asarray(rows, jnp.float32)


def _where(mask: Bool[Array, "g"], a: Array | float, b: Array) -> Array:
    return jnp.where(mask.reshape(-1, *(1,) * (b.ndim - 1)), a, b)
