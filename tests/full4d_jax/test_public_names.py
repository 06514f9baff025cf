"""The names that `docs/api.md` calls stable are imported as it says, from each package."""

import importlib
import os
import re
import subprocess
import sys
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
    assert listed == set(module.__all__) == set(module.__dir__())


@pytest.mark.parametrize("package", ["full4d_jax", "input_pipeline"])
def test_other_names_are_errors(package):
    with pytest.raises(AttributeError, match="no attribute 'velocty'"):
        importlib.import_module(package).velocty  # noqa: B018


def test_importing_a_package_loads_none_of_its_libraries():
    heavy = "{'jax', 'cv2', 'grain', 'tensorflow_datasets'} & sys.modules.keys()"
    program = f"import sys, full4d_jax, input_pipeline; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", ["gaussians", "input_pipeline"])
def test_a_file_of_the_user_that_hides_a_package_is_named(name, tmp_path):
    hiding = tmp_path / f"{name}.py"
    hiding.write_text("points = 3\n")
    script = tmp_path / "mine.py"
    script.write_text("import full4d_jax\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: module: {name}: found {hiding}, expected the package")
    assert last.endswith("rename that file, or remove it from sys.path")
    hiding.unlink()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
