"""Multi-view clips: records, data sets, captures, camera conventions, procedural scenes, a loader.

The public names are loaded when they are first used: only modules under `procedural` import jax,
and only those under `datasets` tfds.

Axis letters of arrays: b batch, v views, t instants, h w rows and columns of a picture, c channels,
n items of any kind (points, matches, files), p pixels in a row, g primitives, m materials.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from input_pipeline.conventions import convert
    from input_pipeline.datasets.dataset import open_dataset, write_dataset
    from input_pipeline.loader import make_loader
    from input_pipeline.procedural.scene import procedural_scene
    from input_pipeline.schema import Example

_MODULES = {
    "Example": "schema",
    "convert": "conventions",
    "make_loader": "loader",
    "open_dataset": "datasets.dataset",
    "procedural_scene": "procedural.scene",
    "write_dataset": "datasets.dataset",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'input_pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"input_pipeline.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
