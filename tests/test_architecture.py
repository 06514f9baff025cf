"""The layout's promises: who imports whom."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("full4d_jax", "gaussians", "input_pipeline")
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for folder in PACKAGES
    for path in (REPOSITORY / folder).rglob("*.py")
)
# The distribution of the renderer alone installs no more; jax itself needs scipy.
RENDERER_IMPORTS = {"gaussians", "jax", "numpy", "scipy", "einops", "jaxtyping"}
RENDERER_IMPORTS |= {"numba", "optax"}
# What a file of the renderer asks for in a function, and says so where it is missing.
RENDERER_ASKS_FOR = {
    "gaussians/formats/sog.py": {"PIL"},
    "gaussians/formats/spz.py": {"pyarrow"},
}

# Who may import whom inside full4d_jax. A room may also import those that its arrows lead to by way
# of others; `flow`, the equations, and `cameras` import nothing, `grid` only `cameras`.
ARROWS = {
    "session": ["grid"],
    "flow": [],
    "cameras": [],
    "grid": ["cameras"],
    "geometry": ["session", "cameras"],
    "config": ["session"],
    "media": ["session"],
    "models": ["config", "flow", "cameras"],
    "generation": ["models", "media", "geometry"],
    "source": ["models", "media", "geometry"],
    "scene": ["generation", "source"],
    "training": ["generation", "source"],
    "data": ["training"],
    "evaluation": ["scene"],
    "run_files": ["scene"],
    "text_to_video": ["generation", "source"],
    "pipeline": ["run_files", "text_to_video"],
    "commands": ["pipeline", "training", "data", "evaluation"],
    "cli": ["commands"],
    "__main__": ["cli"],
}

# Imported inside functions by a training step: what few of them run.
IMPORTED_LATE = {
    "full4d_jax.models.wan.vae",
    "full4d_jax.models.dit.attention.splash",
}
# What one reads from a training step to the attention kernel of CPUs.
STEP_TO_KERNEL = (
    "training/step.py",
    "training/loss.py",
    "models/dit/dit.py",
    "models/dit/backbone.py",
    "models/dit/block.py",
    "models/dit/attention/fused.py",
    "models/dit/attention/merged.py",
)


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
    if package == "input_pipeline":
        jax_too = set() if path.parts[1] == "procedural" else {"jax", "jaxlib"}
        return {"full4d_jax", "gaussians", "flax", "optax"} | jax_too
    return {"flax"} if package == "full4d_jax" and path.parts[1] != "models" else set()


def module_name(path: Path) -> str:
    """The dotted name of a file, of the package itself for an __init__.py."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Return the `modules` that a module imports anywhere, functions included."""
    return modules_in(ast.parse((REPOSITORY / path).read_text()), modules)


def modules_in(tree: ast.AST, modules: set[str]) -> set[str]:
    """Return the `modules` that a part of one imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & modules or {node.module}
    return found & modules


def room(module: str) -> str:
    """The part of full4d_jax that a module belongs to; empty for the package itself."""
    return module.partition("full4d_jax")[2].strip(".").partition(".")[0]


def reachable(name: str) -> set[str]:
    """Rooms that a room may import, itself included."""
    return {name}.union(*(reachable(other) for other in ARROWS[name]))


def loaded_modules(name: str) -> list[Path]:
    """Return the files of our modules that importing one loads, in a process of its own."""
    program = (
        f"import sys, {name}\n"
        "for name, module in sys.modules.items():\n"
        f"    if name.partition('.')[0] in {PACKAGES}:\n"
        "        print(module.__file__)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return [Path(line).relative_to(REPOSITORY) for line in done.stdout.split()]


def late_imports(path: Path, modules: set[str]) -> set[str]:
    """Return the `modules` that a module imports inside functions."""
    nodes = ast.walk(ast.parse((REPOSITORY / path).read_text()))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return set().union(*(modules_in(node, modules) for node in functions))


def count_lines(paths: Iterable[Path]) -> int:
    """Return how many lines files have together, blank ones included."""
    return sum(len((REPOSITORY / path).read_text().splitlines()) for path in paths)


def test_import_direction():
    for path in MODULES:
        found = imported_packages((REPOSITORY / path).read_text())
        wrong = found & forbidden(path)
        assert not wrong, f"{path} must not import {wrong}"


def test_the_renderer_imports_no_more_than_it_installs():
    for path in MODULES:
        if path.parts[0] == "gaussians":
            more = imported_packages((REPOSITORY / path).read_text())
            more -= RENDERER_IMPORTS | sys.stdlib_module_names
            more -= RENDERER_ASKS_FOR.get(path.as_posix(), set())
            assert not more, f"{path} must not import {more}"


def test_rooms_are_imported_along_the_arrows():
    modules = set(map(module_name, MODULES))
    for path in MODULES:
        own = room(module_name(path))
        if own:  # the package itself hands out names when they are asked for
            rooms = {room(name) for name in imported_modules(path, modules)}
            backwards = rooms - reachable(own) - {""}
            assert not backwards, f"{path}: {own} must not import {backwards}"


def test_no_module_imports_itself_by_way_of_others():
    modules = set(map(module_name, MODULES))
    imports = {module_name(path): imported_modules(path, modules) for path in MODULES}
    # Whoever imports nobody that is left, and whoever is imported by nobody, is in no circle.
    while ends := {
        name
        for name, found in imports.items()
        if not found & imports.keys() or not any(name in x for x in imports.values())
    }:
        imports = {name: found for name, found in imports.items() if name not in ends}
    assert not imports, f"in a circle: {', '.join(sorted(imports))}"


def test_no_packages_under_tests():
    # tests/gaussians/__init__.py would shadow the package of the same name.
    assert not list((REPOSITORY / "tests").rglob("__init__.py"))


def test_only_tests_know_the_real_data():
    for path in MODULES:
        assert "FULL4D_DATA" not in (REPOSITORY / path).read_text(), path


def test_a_training_step_imports_little():
    loaded = loaded_modules("full4d_jax.training.step")
    assert len(loaded) <= 75
    assert count_lines(loaded) <= 8500
    modules = set(map(module_name, MODULES))
    for path in loaded:
        late = late_imports(path, modules) - IMPORTED_LATE
        assert not late, f"{path} imports {late} inside a function"


def test_the_renderer_loads_no_format_before_it_is_asked_for():
    assert loaded_modules("gaussians") == [Path("gaussians/__init__.py")]


def test_the_method_is_short():
    package = REPOSITORY / "full4d_jax"
    assert count_lines((package / "models" / "dit").rglob("*.py")) <= 3300


def test_a_step_is_read_to_its_kernel_in_few_lines():
    package = REPOSITORY / "full4d_jax"
    assert count_lines(package / path for path in STEP_TO_KERNEL) <= 1300
