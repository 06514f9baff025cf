"""The renderer's own distribution agrees with the one that contains it."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALONE = ROOT / "distributions" / "gaussians"


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def test_it_has_the_version_and_the_bounds_of_the_whole():
    whole = project(ROOT)
    alone = project(ALONE)
    for name in ("version", "requires-python"):
        assert alone[name] == whole[name]
    # The whole ships weights and a clip of others, too.
    of_code, *_ = whole["license"].split(" AND ")
    assert alone["license"] == of_code
    assert set(alone["dependencies"]) <= set(whole["dependencies"])
    for name, requirements in alone["optional-dependencies"].items():
        assert requirements == whole["optional-dependencies"][name]


def test_its_files_are_those_of_the_repository():
    assert (ALONE / "gaussians").resolve() == ROOT / "gaussians"
    # A copy, since an sdist keeps a link to a file as a link.
    assert (ALONE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
