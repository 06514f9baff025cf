"""The notebooks of the site run from first cell to last; what they show is kept small."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = {"one_scene.ipynb": 7, "gaussians.ipynb": 3}
PACKAGES = {"full4d_jax", "gaussians", "input_pipeline"}
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
print(sum("image/jpeg" in output.get("data", {}) for output in outputs))
"""


def test_each_notebook_is_tested():
    assert {notebook.name for notebook in DOCS.glob("*.ipynb")} == set(PICTURES)


@pytest.mark.extra("nbclient")
@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs(name, tmp_path):
    # In a process of its own: Jupyter's libraries warn of themselves.
    here = f"{DOCS.parent}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", RUN, DOCS / name],
        cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": here},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == PICTURES[name]


@pytest.mark.parametrize("name", PICTURES)
def test_its_outputs_are_those_of_one_whole_run_and_small(name):
    cells = [cell for cell in json.loads((DOCS / name).read_text())["cells"] if "outputs" in cell]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert (DOCS / name).stat().st_size < 300_000


@pytest.mark.parametrize(("name", "least"), [("one_scene.ipynb", 10), ("gaussians.ipynb", 2)])
def test_what_it_imports_exists(name, least):
    """Without Jupyter, so that whoever moves a function sees here that the notebook needs it."""
    cells = json.loads((DOCS / name).read_text())["cells"]
    tree = ast.parse("".join(cells[1]["source"]))
    imports = [x for x in tree.body if isinstance(x, ast.ImportFrom)]
    own = [x for x in imports if (x.module or "").split(".")[0] in PACKAGES]
    assert len(own) >= least
    for line in own:
        module = importlib.import_module(line.module or "")
        assert [x.name for x in line.names if not hasattr(module, x.name)] == [], line.module
