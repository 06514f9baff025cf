"""Options of `render`, which `run` has too: how a finished scene is shown."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.session.fields import Between


@dataclass(frozen=True)
class RenderOptions:
    """How the finished scene is shown."""

    size: Annotated[int, Between(16, 4096)] | None = None
    """Rows of the rendered videos; by default the grid's."""
    orbit_seconds: Annotated[float, Between(0.1, 600)] = 4.0
    """Length of the rendered videos."""
    orbit: Literal["arc", "ring", "spiral"] = "ring"
    """Path of the camera in orbit.mp4 and bullet.mp4."""
    sweep: Annotated[float, Between(0, 180)] = 12.0
    """How far that path goes to the sides, degrees."""
