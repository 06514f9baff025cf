"""The tokens of a grid in one row, and what all tokens of a frame share.

Tokens are kept flattened, (b n d) with n in the order (view, time, token), so that a mesh may cut
them anywhere: only attention looks beyond a token.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Shaped

from full4d_jax.models.sharding import constrain

Axis = Literal["views", "times", "all"]
VIDEOS = {"views": "(b t) 1 v ...", "times": "(b v) 1 t ...", "all": "b v t ..."}


class TokenGrid(NamedTuple):
    """Sizes of a grid of tokens."""

    views: int
    frames: int
    tokens: int  # of a frame

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


class Moments(NamedTuple):
    """Vectors that depend on a token's flow time; a grid has few of them.

    Attributes:
      rows: [clean, noisy], or one for each frame.
      noisy: which of the two a token has; None where there is a row for each frame.
    """

    rows: Float[Array, "b r *m d"]
    noisy: Bool[Array, "b n"] | None

    def of_tokens(self, rows: Float[Array, "b r d"], tokens: int) -> Float[Array, "b n d"]:
        """Return each token's row of something computed from `self.rows`."""
        if self.noisy is None:
            return jnp.repeat(rows, tokens // rows.shape[1], axis=1)
        return jnp.where(self.noisy[..., None], rows[:, 1:], rows[:, :1])


def flatten(x: Float[Array, "b v t s ..."]) -> Float[Array, "b n ..."]:
    """Put a grid's tokens in one row."""
    return x.reshape(x.shape[0], -1, *x.shape[4:])


def videos(x: Shaped[Array, "b v t ..."], axis: Axis) -> Shaped[Array, "n u f ..."]:
    """Cut the grid into videos: the views of each instant, the times of each view, or all of it."""
    return rearrange(x, f"b v t ... -> {VIDEOS[axis]}")


def moments_along(
    axis: Axis, rows: Float[Array, "b r *m d"], noisy: Bool[Array, "b v t"] | None, grid: TokenGrid
) -> Moments:
    """Return the moments of the grid's videos along an axis, given those of its frames."""
    if noisy is None:
        by_frame = rows.reshape(rows.shape[0], grid.views, grid.frames, *rows.shape[2:])
        cut = videos(by_frame, axis)
        return Moments(cut.reshape(cut.shape[0], -1, *rows.shape[2:]), None)
    cut = videos(noisy, axis)
    tokens = on_tokens(grid.along(axis).to_tokens(cut), axis)
    return Moments(jnp.repeat(rows, len(cut) // len(rows), axis=0), tokens)


def on_tokens(x: Shaped[Array, "b n ..."], axis: Axis = "all") -> Shaped[Array, "b n ..."]:
    """Shard tokens of grids, or whole videos along an axis, over the mesh around."""
    names = ("samples", "tokens") if axis == "all" else ("videos", None)
    return constrain(x, *names, *[None] * (x.ndim - 2))
