"""Multi-view clips: the record, camera conventions, procedural scenes and the loader.

Only modules under `procedural` name jax, so `procedural_scene` is imported on first use.
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
