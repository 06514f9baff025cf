"""Pixels folded into channels and back, which the small convolutional networks change size by."""

from einops import rearrange
from jaxtyping import Array, Float


def fold(x: Float[Array, "b h w c"]) -> Float[Array, "b h//2 w//2 4*c"]:
    """Halve the resolution and quadruple the channels."""
    return rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=2, j=2)


def unfold(x: Float[Array, "b h w d"]) -> Float[Array, "b 2*h 2*w d//4"]:
    """Double the resolution, the inverse of `fold`."""
    return rearrange(x, "b h w (i j c) -> b (h i) (w j) c", i=2, j=2)
