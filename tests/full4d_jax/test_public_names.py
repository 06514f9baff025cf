"""The names that `docs/api.md` calls stable are imported as it says, from each package."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def stable_names() -> list[tuple[str, str, str]]:
    """Return package, name and full path of all names in the table of the page."""
    names = []
    package = ""
    for line in (ROOT / "docs" / "api.md").read_text().splitlines():
        if header := re.match(r"\| \*\*`(\w+)`\*\* \|", line):
            package = header[1]
        elif line.startswith("| "):
            links = re.findall(r"\[`(\w+)[^`]*`\]\[([\w.]+)\]", line)
            names += [(package, name, path) for name, path in links]
    return names


@pytest.mark.parametrize(("package", "name", "path"), stable_names(), ids=str)
def test_a_stable_name_is_imported_as_the_page_says(package, name, path):
    module, _, own_name = path.rpartition(".")
    assert path.startswith(f"{package}.")
    assert own_name == name
    found = getattr(importlib.import_module(package), name)
    assert found is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("package", ["full4d_jax", "input_pipeline"])
def test_the_page_has_all_names_of_a_package(package):
    module = importlib.import_module(package)
    listed = {name for of, name, _ in stable_names() if of == package}
    assert listed == set(module.__dir__())
