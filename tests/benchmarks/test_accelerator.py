"""The command for the day of an accelerator: limits, what it keeps, and a dry run on the CPU."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(FOLDER))
accelerator, report = map(importlib.import_module, ("accelerator", "report"))
sys.path.remove(str(FOLDER))

FAKES = {  # stand-ins for benchmarks
    "slow": "import time; print('it began', flush=True); time.sleep(600)",
    "bad": "raise SystemExit('it broke')",
    "good": "import json, pathlib; pathlib.Path('count').open('a').write('x'); print('{\"a\": 1}')",
}


def run(monkeypatch, *words) -> str:
    monkeypatch.setattr(sys, "argv", ["accelerator.py", *map(str, words)])
    try:
        accelerator.main()
    except SystemExit as stopped:
        return str(stopped)
    return ""


def records(out: Path) -> dict[str, dict]:
    return {x.parent.name: json.loads(x.read_text()) for x in out.glob("*/record.json")}


@pytest.fixture
def environment(monkeypatch):
    """What the command sets for what it starts must not reach other tests."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "FULL4D_TEST_PLATFORMS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_rows_share_the_minutes_and_failures_are_texts(monkeypatch, tmp_path, environment):
    for name, source in FAKES.items():
        (tmp_path / f"{name}.py").write_text(source)
    rows = [report.Row(x, f"{x}.py", "", "", (1, 1)) for x in FAKES]
    monkeypatch.setattr(report, "REPOSITORY", tmp_path)
    monkeypatch.setattr(report, "machine", lambda: {"devices of jax": "1 x cpu cpu"})
    monkeypatch.setattr(accelerator, "ROWS", rows)
    monkeypatch.setattr(accelerator, "FEWEST", 1.0)
    out, words = tmp_path / "out", ("--only", *FAKES, "--minutes", 0.25)
    assert run(monkeypatch, "--out", out, *words).startswith("failed: slow, bad;")
    found = records(out)
    assert found["slow"]["problem"] == "stopped after 5 s"  # a third of 15 seconds
    assert found["bad"]["problem"] == "exit code 1"
    assert found["good"]["result"] == {"a": 1}
    page = (out / "report.md").read_text()
    for text in ("it began", "it broke"):
        assert text in page
    (tmp_path / "bad.py").write_text("print('{}')")
    assert run(monkeypatch, "--out", out, *words).startswith("failed: slow;")
    assert (tmp_path / "count").read_text() == "x"  # what succeeded is kept


def test_the_suite_tells_how_tests_ended_as_they_end(tmp_path):
    (tmp_path / "test_a.py").write_text(
        "import os, pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert False\n"
        "@pytest.mark.skip\ndef test_left_out(): pass\n"
        "def test_that_ends_it_all(): os._exit(3)\n"
    )
    words = "-q -p benchmarks.common --outcomes tests.json -c /dev/null --rootdir . test_a.py"
    run = [sys.executable, "-m", "pytest", *words.split()]
    path = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    assert subprocess.run(run, cwd=tmp_path, env=path, capture_output=True).returncode == 3
    found = json.loads((tmp_path / "tests.json").read_text())
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 1, 1)
    assert found["names_of_failed"] == ["test_a.py::test_bad"]


@pytest.mark.long
def test_a_dry_run_measures_everything(monkeypatch, tmp_path, environment):
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))
    assert run(monkeypatch, "--minutes", 0, "--out", tmp_path) == ""
    found = {name: record["result"] for name, record in records(tmp_path).items()}
    assert set(found) == {row.name for row in accelerator.ROWS}
    assert found["attention"]["merged_forward_backward_tflops"] > 0
    assert found["training"]["memory_gib"] > 0
    assert list((tmp_path / "training" / "profile").rglob("*.xplane.pb"))
    assert found["sampling"]["calls"] == 4
    assert found["rasterizer"]["ours_forward_backward_2000"] > 0
    assert found["fit"]["seconds"]
    assert found["tests"]["passed"] > 0
