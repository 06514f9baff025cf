"""The tokens of a grid in one row, and the pictures and times that they are made from.

Tokens are kept flattened, (b n d) with n in the order (view, time, token), so that a mesh may cut
them anywhere: only attention looks beyond a token.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Bool, Float, Shaped

from full4d_jax.flow import Latents, Times
from full4d_jax.models.dit.sharding import constrain

Tokens = Float[Array, "b n d"]
TIME_CHANNELS = 256
Axis = Literal["views", "times", "all"]
VIDEOS = {"views": "(b t) 1 v ...", "times": "(b v) 1 t ...", "all": "b v t ..."}


class TokenGrid(NamedTuple):
    """Sizes of a grid of tokens."""

    views: int
    frames: int
    # Of a frame.
    tokens: int

    def unflatten(self, x: Float[Array, "b n ..."]) -> Float[Array, "b v t s ..."]:
        """Arrange the row of tokens as a grid; `flatten` is the inverse."""
        return x.reshape(x.shape[0], *self, *x.shape[2:])

    def to_tokens(self, x: Shaped[Array, "b v t ..."]) -> Shaped[Array, "b n ..."]:
        """Repeat each frame's value for each of its tokens."""
        return jnp.repeat(x.reshape(x.shape[0], -1, *x.shape[3:]), self.tokens, axis=1)

    def along(self, axis: Axis) -> "TokenGrid":
        """Return the sizes of each video along one axis."""
        frames = {"views": (1, self.views), "times": (1, self.frames)}
        return TokenGrid(*frames.get(axis, (self.views, self.frames)), self.tokens)


class Modulation(NamedTuple):
    """Vectors that depend on a token's flow time; a grid has few of them.

    Attributes:
      rows: [clean, noisy], or one for each frame.
      noisy: which of the two a token has; None where there is a row for each frame.
    """

    rows: Float[Array, "b r *m d"]
    noisy: Bool[Array, "b n"] | None

    def of_tokens(
        self, table: Float[Array | np.ndarray, "m d"], x: Tokens
    ) -> list[Tokens]:
        """Return the m vectors of each token in `x`: the rows' and those of a table, added."""
        added = (self.rows + table[None, None]).astype(x.dtype)
        vectors = [added[:, :, i] for i in range(len(table))]
        if self.noisy is None:
            return [jnp.repeat(y, x.shape[1] // y.shape[1], axis=1) for y in vectors]
        return [jnp.where(self.noisy[..., None], y[:, 1:], y[:, :1]) for y in vectors]


def flatten(x: Float[Array, "b v t s ..."]) -> Float[Array, "b n ..."]:
    """Put a grid's tokens in one row."""
    return x.reshape(x.shape[0], -1, *x.shape[4:])


def videos(x: Shaped[Array, "b v t ..."], axis: Axis) -> Shaped[Array, "n u f ..."]:
    """Cut the grid into videos: the views of each instant, the times of each view, or all of it."""
    return rearrange(x, f"b v t ... -> {VIDEOS[axis]}")


def on_tokens(
    x: Shaped[Array, "b n ..."], axis: Axis = "all"
) -> Shaped[Array, "b n ..."]:
    """Shard tokens of grids, or whole videos along an axis, over the mesh around."""
    names = ("samples", "tokens") if axis == "all" else ("videos", None)
    return constrain(x, *names, *[None] * (x.ndim - 2))


def to_patches(x: Latents, side: int) -> Float[Array, "b v t s p"]:
    """Cut latent pixels into squares, row after row."""
    return rearrange(x, "b v t (h i) (w j) c -> b v t (h w) (i j c)", i=side, j=side)


def from_patches(x: Float[Array, "b v t s p"], rows: int, side: int) -> Latents:
    """Put the squares of `to_patches` back together, in so many rows."""
    squares = "b v t (h w) (i j c) -> b v t (h i) (w j) c"
    return rearrange(x, squares, h=rows, i=side, j=side)


def flow_times(
    tau: Times, real: Bool[Array, "b v t"] | None, latents: Latents, grid: TokenGrid
) -> tuple[Float[Array, "b r"], Bool[Array, "b u f"] | None]:
    """Return the flow times in a grid, and which of its frames have the second of them.

    Args:
      tau: of the frames to generate.
      real: which of them are, at flow time 0.
      latents: the frames to generate.
      grid: has clean views before them, or clean frames after.

    Returns:
      Times 0 and tau, and the frames that have tau; or, where frames differ, the times of all
      frames (r = v t), and None.
    """
    batch, views, frames = latents.shape[:3]
    clean = ((0, 0), (grid.views - views, 0), (0, grid.frames - frames))
    if tau.ndim == 1:
        noisy = jnp.ones((batch, views, frames), bool) if real is None else ~real
        return jnp.stack([jnp.zeros_like(tau), tau], 1), jnp.pad(noisy, clean)
    times = tau if real is None else jnp.where(real, 0.0, tau)
    return jnp.pad(times, clean).reshape(batch, -1), None


def sinusoids(tau: Float[Array, "..."]) -> Float[Array, "... k"]:
    """Embed flow times as Wan does: cosines, then sines, of 1000 tau."""
    half = TIME_CHANNELS // 2
    # In double precision, since 1000 tau magnifies their errors.
    frequencies = (10000.0 ** (-np.arange(half) / half)).astype(np.float32)
    angles = 1000.0 * tau[..., None] * frequencies.reshape((1,) * tau.ndim + (-1,))
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
