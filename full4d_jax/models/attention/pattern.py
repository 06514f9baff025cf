"""Which tokens of a grid read which in self-attention."""

from dataclasses import dataclass

from full4d_jax.models.tokens import Axis, TokenGrid


@dataclass(frozen=True)
class Pattern:
    """Which tokens read which, within each sample.

    Attributes:
      grid: how the tokens of a sample are laid out.
      axis: along which grids were cut into the samples; "all" where a sample is a whole grid.
      mask: between frames, a name for `masks.find_mask`; None where every token reads every token.
      cross_half: whether the later half of the frames is the projection.
    """

    grid: TokenGrid
    axis: Axis
    mask: str | None
    cross_half: bool

    @property
    def is_cut(self) -> bool:
        """Whether samples are rows or columns of grids, whole on their devices."""
        return self.axis != "all"
