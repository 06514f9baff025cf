"""The notebook of the site runs from its first cell to its last; what it shows is kept small."""

import ast
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "one_scene.ipynb"
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


@pytest.mark.extra("nbclient")
def test_the_notebook_runs(tmp_path):
    # In a process of its own: Jupyter's libraries warn of themselves.
    here = f"{NOTEBOOK.parents[1]}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK],
        cwd=tmp_path,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": here},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 7  # pictures


def test_its_outputs_are_those_of_one_whole_run_and_small():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if "outputs" in cell]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert NOTEBOOK.stat().st_size < 300_000


def test_what_it_imports_exists():
    """Without Jupyter, so that whoever moves a function sees here that the notebook needs it."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    tree = ast.parse("".join(cells[1]["source"]))
    imports = [x for x in tree.body if isinstance(x, ast.ImportFrom)]
    own = [x for x in imports if (x.module or "").split(".")[0] in PACKAGES]
    assert len(own) > 5
    for line in own:
        module = importlib.import_module(line.module or "")
        assert [x.name for x in line.names if not hasattr(module, x.name)] == [], line.module
