"""What the layout promises: who imports whom, short files, and a command line that starts fast."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("full4d_jax", "gaussians", "input_pipeline")
SOURCES = sorted(
    path.relative_to(REPOSITORY)
    for folder in (*PACKAGES, "tests", "configs", "benchmarks")
    for path in (REPOSITORY / folder).rglob("*.py")
)
MODULES = [path for path in SOURCES if path.parts[0] in PACKAGES]
LONGEST = 300


def imported_packages(source: str) -> set[str]:
    """Top-level names of all imports, those inside functions and type-checking blocks included."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


def forbidden(path: Path) -> set[str]:
    """Packages that the module at this path must not name (the arrows of the layout)."""
    package = path.parts[0]
    if package == "gaussians":
        return {"full4d_jax", "input_pipeline", "flax", "grain"}
    if package == "input_pipeline":
        jax_too = set() if path.name.startswith("procedural") else {"jax", "jaxlib"}
        return {"full4d_jax", "gaussians", "flax", "optax"} | jax_too
    return set() if path.parts[1] == "models" else {"flax"}


def test_imports_are_found_wherever_they_hide():
    source = "import a.b\ndef f():\n    from c.d import e\n    from .near import g\n"
    assert imported_packages(source) == {"a", "c"}


def test_every_package_is_checked():
    assert {path.parts[0] for path in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_import_direction(path: Path):
    found = imported_packages((REPOSITORY / path).read_text()) & forbidden(path)
    assert not found, f"{path} must not import {', '.join(sorted(found))}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_file_length(path: Path):
    lines = len((REPOSITORY / path).read_text().splitlines())
    assert lines <= LONGEST, f"{path} has {lines} lines, at most {LONGEST}: split it by subject"


def test_no_packages_under_tests():
    # tests/gaussians/__init__.py would shadow the package of the same name.
    assert not list((REPOSITORY / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_tests_know_the_real_data(path: Path):
    assert "FULL4D_DATA" not in (REPOSITORY / path).read_text()


def test_help_answers_without_jax():
    program = "import sys, full4d_jax.cli as c; c.main(['--help']); sys.exit('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False)
    assert result.returncode == 0, "full4d --help imports jax"
