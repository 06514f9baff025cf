"""Multi-view clips: records, data sets, captures, camera conventions, procedural scenes, a loader.

Only modules under `procedural` import jax, so `procedural_scene` is imported on first use.

Axis letters of arrays: b batch, v views, t instants, h w rows and columns of a picture, c channels,
n items of any kind (points, matches, files), p pixels in a row, g primitives, m materials.
"""

from typing import TYPE_CHECKING

from input_pipeline.loader import make_loader
from input_pipeline.schema import Example

if TYPE_CHECKING:
    from input_pipeline.procedural.scene import procedural_scene

__all__ = ["Example", "make_loader", "procedural_scene"]


def __getattr__(name: str):
    """Import the jitted renderer only where it is asked for."""
    if name != "procedural_scene":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from input_pipeline.procedural.scene import procedural_scene

    return procedural_scene
