"""Versions of the packages that a command runs with."""

import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OURS = "full4d-jax"
# Of a checkout.
PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def our_version() -> str:
    """Return the version of this package: as installed, else that of the checkout it runs in."""
    try:
        return version(OURS)
    except PackageNotFoundError:
        return tomllib.loads(PROJECT.read_text())["project"]["version"]


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages by their names."""
    return {name: our_version() if name == OURS else version(name) for name in packages}
