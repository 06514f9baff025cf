"""The notebooks of the site run from first cell to last."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = {"one_scene.ipynb": 7, "gaussians.ipynb": 3}
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
