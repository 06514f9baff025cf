"""A feature field over space and time as six planes (HexPlane, Cao & Johnson 2023).

With p = (x, y, z) in [0, 1]^3 and t in [0, 1], every plane linearly interpolated:

    (1)  feature(p, t) = [ XY(x, y) * ZT(z, t),  XZ(x, z) * YT(y, t),  YZ(y, z) * XT(x, t) ]

so that each of three groups of channels pairs a plane of space with one of the axis it leaves out.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

PAIRS = ((0, 1, 2), (0, 2, 1), (1, 2, 0))  # two axes of a plane of space, and the third


class HexPlane(NamedTuple):
    """Planes whose outermost samples lie at the corners of the unit square.

    Attributes:
      space: XY, XZ, YZ, with r samples along an axis.
      time: ZT, YT, XT, with t samples in time.
    """

    space: Float[Array, "3 r r f"]
    time: Float[Array, "3 r t f"]


def create(resolution: int, instants: int, features: int, key: Array) -> HexPlane:
    """Return random planes of space and planes of time at 1: the same field at all times."""
    space = jax.random.uniform(key, (3, resolution, resolution, features), minval=0.1, maxval=0.5)
    return HexPlane(space, jnp.ones((3, resolution, instants, features)))


def interpolate_planes(
    planes: HexPlane, points: Float[Array, "g 3"], time: Float[Array, ""] | float
) -> Float[Array, "g c"]:
    """Return c = 3 f features at one instant, equation 1; points outside take the border's."""
    groups = []
    for i, (a, b, c) in enumerate(PAIRS):
        at_time = _along_time(planes.time[i], time)
        groups.append(
            _bilinear(planes.space[i], points[:, a], points[:, b]) * _linear(at_time, points[:, c])
        )
    return jnp.concatenate(groups, -1)


def roughness(planes: HexPlane) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the variation of all planes in space and the bending of the planes of time in time.

    They are means of squared first differences and of squared second differences.
    """
    along_rows = jnp.diff(planes.space, axis=1)
    along_columns = jnp.diff(planes.space, axis=2)
    rows_of_time = jnp.diff(planes.time, axis=1)
    variation = sum((x**2).mean() for x in (along_rows, along_columns, rows_of_time))
    return jnp.asarray(variation), (jnp.diff(planes.time, 2, axis=2) ** 2).mean()


def _place(position: Array, size: int) -> tuple[Array, Array]:
    """Return the sample before a position in [0, 1], and its distance towards the next."""
    scaled = jnp.clip(position, 0.0, 1.0) * (size - 1)
    before = jnp.clip(jnp.floor(lax.stop_gradient(scaled)), 0, size - 2)
    return before.astype(jnp.int32), scaled - before


def _along_time(plane: Float[Array, "r t f"], time: Float[Array, ""] | float) -> Array:
    """Return a plane of time at one instant, (r f)."""
    before, share = _place(jnp.asarray(time), plane.shape[1])
    first, second = (jnp.take(plane, before + i, axis=1) for i in (0, 1))
    return (1 - share) * first + share * second


def _linear(line: Float[Array, "r f"], x: Float[Array, "g"]) -> Float[Array, "g f"]:
    before, share = _place(x, line.shape[0])
    return (1 - share)[:, None] * line[before] + share[:, None] * line[before + 1]


def _bilinear(
    plane: Float[Array, "r r f"], x: Float[Array, "g"], y: Float[Array, "g"]
) -> Float[Array, "g f"]:
    row, u = _place(x, plane.shape[0])
    column, v = _place(y, plane.shape[1])
    u = u[:, None]
    v = v[:, None]
    upper = (1 - v) * plane[row, column] + v * plane[row, column + 1]
    lower = (1 - v) * plane[row + 1, column] + v * plane[row + 1, column + 1]
    return (1 - u) * upper + u * lower
