"""The tokens of a grid in one row, and what all tokens of a frame share.

Tokens are kept flattened, (b n d) with n in the order (view, time, token), so that a mesh may cut
them anywhere: only attention looks beyond a token.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float

from full4d_jax.models.sharding import constrain

Axis = Literal["views", "times", "all"]
VIDEOS = {"views": "(b t) 1 v ...", "times": "(b v) 1 t ...", "all": "b v t ..."}


class Grid(NamedTuple):
    """Sizes of a grid of tokens."""

    views: int
    frames: int
    tokens: int  # of a frame

    def unflatten(self, x: Float[Array, "b n ..."]) -> Float[Array, "b v t s ..."]:
        """The row of tokens as a grid; `flatten` is the inverse."""
        return x.reshape(x.shape[0], *self, *x.shape[2:])

    def to_tokens(self, x: Float[Array, "b v t ..."]) -> Float[Array, "b n ..."]:
        """A value of each frame for each of its tokens."""
        return jnp.repeat(x.reshape(x.shape[0], -1, *x.shape[3:]), self.tokens, axis=1)

    def along(self, axis: Axis) -> "Grid":
        """That of each video along one axis."""
        frames = {"views": (1, self.views), "times": (1, self.frames)}
        return Grid(*frames.get(axis, (self.views, self.frames)), self.tokens)


class Moments(NamedTuple):
    """Vectors that depend on a token's flow time, of which a grid has few.

    Rows are [clean, noisy] and `noisy` says which of them a token has; or `noisy` is None and there
    is a row for each frame.
    """

    rows: Float[Array, "b r *m d"]
    noisy: Bool[Array, "b n"] | None

    def of_tokens(self, rows: Float[Array, "b r d"], tokens: int) -> Float[Array, "b n d"]:
        """For each of `tokens` tokens its row of something computed from `self.rows`."""
        if self.noisy is None:
            return jnp.repeat(rows, tokens // rows.shape[1], axis=1)
        return jnp.where(self.noisy[..., None], rows[:, 1:], rows[:, :1])


def flatten(x: Float[Array, "b v t s ..."]) -> Float[Array, "b n ..."]:
    """A grid's tokens in one row."""
    return x.reshape(x.shape[0], -1, *x.shape[4:])


def videos(x: Float[Array, "b v t ..."], axis: Axis) -> Float[Array, "n 1 f ..."]:
    """The grid as single videos: of each instant its views, or of each view its times; or whole."""
    return rearrange(x, f"b v t ... -> {VIDEOS[axis]}")


def moments_along(
    axis: Axis, rows: Float[Array, "b r *m d"], noisy: Bool[Array, "b v t"] | None, grid: Grid
) -> Moments:
    """Moments of the grid's videos along an axis, given those of its frames."""
    if noisy is None:
        by_frame = rows.reshape(rows.shape[0], grid.views, grid.frames, *rows.shape[2:])
        cut = videos(by_frame, axis)
        return Moments(cut.reshape(cut.shape[0], -1, *rows.shape[2:]), None)
    cut = videos(noisy, axis)
    tokens = on_tokens(grid.along(axis).to_tokens(cut), axis)
    return Moments(jnp.repeat(rows, len(cut) // len(rows), axis=0), tokens)


def on_tokens(x: Float[Array, "b n ..."], axis: Axis = "all") -> Float[Array, "b n ..."]:
    """Cut over the mesh around: tokens of grids, or whole videos along an axis."""
    names = ("samples", "tokens") if axis == "all" else ("videos", None)
    return constrain(x, *names, *[None] * (x.ndim - 2))
