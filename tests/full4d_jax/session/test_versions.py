"""Versions in reports: of what is installed, and of a checkout that is not."""

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from full4d_jax.session.report import PACKAGES
from full4d_jax.session.versions import OURS, our_version, versions_of

ROOT = Path(__file__).parents[3]
VERSIONS = """
import json, sys
from full4d_jax.cli import main
from full4d_jax.session.report import PACKAGES
from full4d_jax.session.versions import versions_of
main(["--version"])
print(json.dumps(versions_of(PACKAGES)))
"""


def test_installed_packages_have_their_versions():
    assert our_version() == version(OURS)
    assert versions_of(PACKAGES) == {name: version(name) for name in PACKAGES}


@pytest.fixture
def packages(tmp_path) -> Path:
    """A folder with all packages that are installed here but ours."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for place in filter(os.path.isdir, sys.path):
        for path in Path(place).iterdir() if Path(place).name.endswith("-packages") else ():
            link = folder / path.name
            if not path.name.startswith("full4d_jax") and not link.exists():
                link.symlink_to(path)
    return folder


def run(code: Path, packages: Path) -> list[str]:
    """What a program prints that has the code of a folder, and other packages, installed."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", VERSIONS],
        cwd=packages,
        env=os.environ | {"PYTHONPATH": f"{code}:{packages}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_checkout_that_was_never_installed_tells_its_version(packages):
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    shown, recorded = run(ROOT, packages)
    assert shown == ours
    assert json.loads(recorded) == {name: version(name) for name in PACKAGES} | {OURS: ours}
