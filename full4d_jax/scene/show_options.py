"""Options of `render`, which `run` has too."""

from dataclasses import dataclass
from typing import Annotated, Literal

from full4d_jax.session.fields import Between


@dataclass(frozen=True)
class RenderOptions:
    """Size, length and camera path of the rendered videos."""

    size: Annotated[int, Between(16, 4096)] | None = None
    """Rows of the rendered videos; default: the grid's."""
    orbit_seconds: Annotated[float, Between(0.1, 600)] = 4.0
    """Length of the rendered videos."""
    orbit: Literal["arc", "ring", "spiral"] = "ring"
    """Path of the camera in orbit.mp4 and bullet.mp4."""
    sweep: Annotated[float, Between(0, 180)] = 12.0
    """Largest azimuth of that path, degrees."""
