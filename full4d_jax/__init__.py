"""Full-4D in JAX: one video in, a synchronized grid of views and a 4D Gaussian scene out.

The public names below are loaded when they are first used, so that `import full4d_jax` and
`full4d --help` do not wait for jax.

Axis letters, here and in all annotations of the package:

    b batch     v views     t frames     h w rows, columns     c channels
    s tokens of one latent frame     n all tokens     d width of a token     k heads     g Gaussians

`tau` is the flow time: 0 is data, 1 is noise.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from full4d_jax.cameras import Cameras
    from full4d_jax.config import load_config
    from full4d_jax.generation.batch import Batch, prepare
    from full4d_jax.generation.complete import generate
    from full4d_jax.generation.prior import open_prior
    from full4d_jax.generation.procedural import procedural_batch
    from full4d_jax.generation.sampling import sample
    from full4d_jax.grid import Grid
    from full4d_jax.models.dit.attention.mask import Pattern
    from full4d_jax.models.dit.conditions import Conditions
    from full4d_jax.models.dit.dit import velocity
    from full4d_jax.models.dit.sharding import make_mesh, put_batch
    from full4d_jax.pipeline import run
    from full4d_jax.scene.scene_stage import lift
    from full4d_jax.training.state import init_state
    from full4d_jax.training.step import train_step

_MODULES = {
    "Batch": "generation.batch",
    "Cameras": "cameras",
    "Conditions": "models.dit.conditions",
    "Grid": "grid",
    "Pattern": "models.dit.attention.mask",
    "generate": "generation.complete",
    "init_state": "training.state",
    "lift": "scene.scene_stage",
    "load_config": "config",
    "make_mesh": "models.dit.sharding",
    "open_prior": "generation.prior",
    "procedural_batch": "generation.procedural",
    "prepare": "generation.batch",
    "put_batch": "models.dit.sharding",
    "run": "pipeline",
    "sample": "generation.sampling",
    "train_step": "training.step",
    "velocity": "models.dit.dit",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'full4d_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"full4d_jax.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
