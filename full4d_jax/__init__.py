"""Full-4D in JAX: one video in, a synchronized grid of views and a 4D Gaussian scene out.

The public names below are loaded when they are first used, so that `import full4d_jax` and
`full4d --help` do not wait for jax.

Axis letters, here and in all annotations of the package:

    b batch     v views     t frames     h w rows, columns     c channels
    s tokens of one latent frame     n all tokens     d width of a token     k heads     g Gaussians

`tau` is the flow time: 0 is data, 1 is noise.
"""

import importlib
from typing import Any

_MODULES = {
    "load_config": "full4d_jax.config",
    "init_state": "full4d_jax.training.state",
    "train_step": "full4d_jax.training.step",
    "velocity": "full4d_jax.models.dit",
    "sample": "full4d_jax.generation.sampling",
    "run": "full4d_jax.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'full4d_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
