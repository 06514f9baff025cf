"""The layout's promises: who imports whom, a command line that starts fast."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("full4d_jax", "gaussians", "input_pipeline")
MODULES = sorted(
    path.relative_to(REPOSITORY)
    for folder in PACKAGES
    for path in (REPOSITORY / folder).rglob("*.py")
)
# The distribution of the renderer alone installs no more; jax itself needs scipy.
RENDERER_IMPORTS = {"gaussians", "jax", "numpy", "scipy", "einops", "jaxtyping", "optax"}
# What a file of the renderer asks for in a function, and says so where it is missing.
RENDERER_ASKS_FOR = {"gaussians/formats/sog.py": {"PIL"}, "gaussians/formats/spz.py": {"pyarrow"}}
LOOSE = 6  # modules at the top of full4d_jax: the story and the equations

# Who may import whom inside full4d_jax. A room may also import those that its arrows lead to by way
# of others; `flow`, the equations, and `cameras` import nothing, `grid` only `cameras`.
ARROWS = {
    "session": [],
    "flow": [],
    "cameras": [],
    "grid": ["cameras"],
    "geometry": ["session"],
    "config": ["session"],
    "media": ["session", "grid"],
    "models": ["config", "flow", "cameras"],
    "generation": ["models", "media", "geometry"],
    "source": ["models", "media", "geometry"],
    "scene": ["generation", "source"],
    "training": ["generation", "source"],
    "data": ["training"],
    "evaluation": ["scene"],
    "inputs": ["scene"],
    "pipeline": ["inputs"],
    "commands": ["pipeline", "training", "data", "evaluation"],
    "cli": ["commands"],
}

# Public names of several modules, each a group with its reason: what the modules share, the names,
# and where they stand. Any other name of a class or function means one thing.
DOUBLES = (
    (
        "what `detect` asks every importer",
        ("matches", "read"),
        ("input_pipeline.importers",),
    ),
    (
        "one formulation of compositing for each platform",
        ("forward", "backward"),
        ("gaussians.rendering.compositing",),
    ),
    (
        "the parts of every network: its parameters, and their shapes",
        ("abstract_params", "init_params"),
        ("full4d_jax.models",),
    ),
    (
        "verbs of the command line, and the functions that they call",
        ("lift", "render", "run"),
        (
            "full4d_jax.commands",
            "full4d_jax.pipeline",
            "full4d_jax.scene.lift",
            "gaussians.rendering.rasterizer",
        ),
    ),
    (
        "a verb of the command line, and the sampler of the stable API",
        ("sample",),
        (
            "full4d_jax.commands",
            "full4d_jax.pipeline",
            "full4d_jax.generation.sampling",
        ),
    ),
    (
        "the commands `depth` and `data depth`",
        ("depth",),
        ("full4d_jax.commands",),
    ),
    (
        "from and to what is stored: the command, the codec, the records",
        ("decode", "encode"),
        (
            "full4d_jax.commands.data",
            "full4d_jax.models.codecs",
            "input_pipeline.transforms",
        ),
    ),
    (
        "the same for JAX and for NumPy",
        ("homogeneous_pixels", "pixel_rays"),
        ("full4d_jax.geometry.rays", "input_pipeline"),
    ),
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
    """`full4d_jax.models.dit` of full4d_jax/models/dit.py, the package itself of an __init__.py."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Return the `modules` that a module imports anywhere, functions included."""
    found = set()
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
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


def test_imports_are_found_wherever_they_hide():
    source = "import a.b\ndef f():\n    from c.d import e\n    from .near import g\n"
    assert imported_packages(source) == {"a", "c"}


def test_every_package_is_checked():
    assert {path.parts[0] for path in MODULES} == set(PACKAGES)


def test_import_direction():
    for path in MODULES:
        found = imported_packages((REPOSITORY / path).read_text())
        assert not found & forbidden(path), f"{path} must not import {found & forbidden(path)}"


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


def public_names(source: str) -> set[str]:
    """Names of the classes and functions that a module defines and that begin with a letter."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    names = {node.name for node in ast.parse(source).body if isinstance(node, kinds)}
    return {name for name in names if not name.startswith("_")}


def test_a_public_name_means_one_thing():
    modules = defaultdict(list)
    for path in MODULES:
        for name in public_names((REPOSITORY / path).read_text()):
            modules[name].append(module_name(path))
    doubles = {name: where for name, where in modules.items() if len(where) > 1}
    places = {name: where for _, names, where in DOUBLES for name in names}
    for name, where in sorted(doubles.items()):
        new = [module for module in where if not module.startswith(places.get(name, ()))]
        assert not new, f"{name} stands in {', '.join(where)}: give each thing a name of its own"
    assert places.keys() == doubles.keys(), "names that no longer stand in several modules"


def test_public_names_are_those_of_the_module_itself():
    source = "def f():\n    class Inner: ...\nclass C: ...\ndef _g(): ...\nasync def h(): ...\n"
    assert public_names(source) == {"f", "C", "h"}


def test_few_modules_are_loose():
    loose = [path for path in MODULES if len(path.parts) == 2 and path.parts[0] == "full4d_jax"]
    assert len(loose) <= LOOSE, f"{len(loose)} modules at the top of full4d_jax"


def test_no_packages_under_tests():
    # tests/gaussians/__init__.py would shadow the package of the same name.
    assert not list((REPOSITORY / "tests").rglob("__init__.py"))


def test_only_tests_know_the_real_data():
    for path in MODULES:
        assert "FULL4D_DATA" not in (REPOSITORY / path).read_text(), path


def test_help_answers_without_jax():
    program = "import sys, full4d_jax.cli as c; c.main(['--help']); sys.exit('jax' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False)
    assert result.returncode == 0, "full4d --help imports jax"
