"""The notebook of the site runs from its first cell to its last, and keeps what it shows small."""

import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "one_scene.ipynb"
RUN = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], 4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
pictures = [
    output
    for cell in notebook.cells
    for output in cell.get("outputs", [])
    if "image/jpeg" in output.get("data", {})
]
print(len(pictures))
"""


def test_the_notebook_runs(tmp_path):
    pytest.importorskip("nbclient", reason="needs the extra `docs`")
    # In a process of its own: Jupyter's libraries warn of themselves.
    done = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 7


def test_its_outputs_are_those_of_a_whole_run_and_small():
    import json

    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if "outputs" in cell]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert NOTEBOOK.stat().st_size < 300_000
