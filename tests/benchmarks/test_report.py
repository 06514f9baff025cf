"""The report: every benchmark is in it with words that parse; it goes on, resumes, and says so."""

import argparse
import ast
import importlib
import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from full4d_jax.cli import read_options
from full4d_jax.session.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"


def load(path: Path) -> ModuleType:
    """By path: `codecs` is also a module of Python's own."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLE = load(FOLDER / "report_table.py")
BENCHMARKS, Benchmark = TABLE.BENCHMARKS, TABLE.Benchmark


class Parsed(Exception):
    """Raised instead of running what was asked for."""


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("report")


def words_of(row, size: str) -> list[str]:
    return f"{row.command} {getattr(row, size)}".split()


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("row", BENCHMARKS, ids=lambda row: row.name)
def test_every_command_parses(row, size, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(FOLDER))
    program, *words = words_of(row, size)
    if program == "-m":
        module, verb, *words = words
        assert module == "full4d_jax.cli"
        function = getattr(importlib.import_module(f"full4d_jax.commands.{verb}"), verb)
        assert read_options(function, verb, words) is not None
        return
    module = load(ROOT / program)
    parse = argparse.ArgumentParser.parse_args

    def only_parse(self, *args):
        raise Parsed(parse(self, *args))

    def only_read(function, prog, argv):
        raise Parsed(read_options(function, prog, argv))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
    if hasattr(module, "call"):
        monkeypatch.setattr(module, "call", only_read)
    monkeypatch.setattr(sys, "argv", [program, *words])
    with pytest.raises(Parsed) as caught:
        module.main()
    assert caught.value.args[0] is not None


def test_every_benchmark_is_in_the_report():
    programs = {
        path.name
        for path in FOLDER.glob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "main"
            for node in ast.parse(path.read_text()).body
        )
    }
    reported = {Path(row.command.split()[0]).name for row in BENCHMARKS}
    assert programs - {"report.py"} == reported - {"-m"}
    assert len({row.name for row in BENCHMARKS}) == len(BENCHMARKS)


def test_minutes_decide_what_is_run_large(report):
    rows = [
        Benchmark(name, "", "", "", (1, minutes))
        for name, minutes in zip("abc", (3, 9, 2), strict=True)
    ]
    assert report.plan(rows, 0) == {"a": False, "b": False, "c": False}
    assert report.plan(rows, 6) == {"a": True, "b": False, "c": True}
    assert all(report.plan(rows, 14).values())


FAKES = {
    "good": "import json, pathlib\n"
    "pathlib.Path('count').open('a').write('x')\n"
    "print('noise')\n"
    "import os; pathlib.Path('cores').write_text(str(len(os.sched_getaffinity(0))))\n"
    "print(json.dumps({'ratio': 1.25, 'sizes': {'a': {'r': 2}, 'b': {'r': 3}}}))",
    "bad": "print('before'); raise SystemExit('it <broke>')",
    "mute": "print('no result')",
    "slow": "import subprocess, sys; subprocess.run([sys.executable, 'ticks.py'])",
    "ticks": "import time\nwhile time.sleep(0.05) is None: open('ticks', 'a').write('x')",
    "pictured": "import sys, pathlib; from PIL import Image\nout = pathlib.Path(sys.argv[1])\n"
    "Image.new('RGB', (2, 2)).save(out / 'p.png'); (out / 'r.json').write_text('{}')\n"
    "(out / 'page.md').write_text('a page of its own')",
}


@pytest.fixture
def rows(report, monkeypatch, tmp_path):
    """Stand-ins for benchmarks, with all ways to end."""
    for name, source in FAKES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(report, "REPOSITORY", tmp_path)
    monkeypatch.setattr(report, "GRACE", 5.0)
    plain = [Benchmark(x, f"{x}.py", "", "", (0, 0)) for x in ("bad", "mute", "slow")]
    numbers = ("ratio", "sizes/*/r", "none/of/it")
    good = Benchmark("good", "good.py", "", "", (0, 0), numbers, one_core=True)
    pictured = Benchmark(
        "pictured", "pictured.py OUT", "", "", (0, 0), result="r.json", page="page.md"
    )
    needs = {"needs_data": "data/none.ply", "needs_package": "no_such_package"}
    without = [Benchmark(x, "good.py", "", "", (0, 0), (), (y,)) for x, y in needs.items()]
    return [*plain, good, pictured, *without]


def test_it_goes_on_says_what_failed_and_resumes(report, rows, tmp_path, capsys):
    out, cores = tmp_path / "out", len(os.sched_getaffinity(0))
    assert not report.run_all(rows, 0, out, tmp_path)
    said = capsys.readouterr().out
    assert "failed: bad, mute, slow" in said
    ticks = (tmp_path / "ticks").stat().st_size  # of what the slow one started
    assert ticks > 0
    time.sleep(0.5)
    assert (tmp_path / "ticks").stat().st_size == ticks
    page, shown = (out / "report.md").read_text(), (out / "report.html").read_text()
    for text in (page, shown):
        assert "exit code 1" in text
        assert "no result" in text
        assert "stopped after 5 s" in text
        assert "data/none.ply (set FULL4D_DATA)" in text
        assert "no package no_such_package" in text
        assert "a page of its own" in text
        assert "1.25" in text
        assert "sizes/b/r" in text
        assert "none/of" not in text
        assert "pictured/p.png" in text
        assert "python pictured.py OUT" in text
    assert (tmp_path / "cores").read_text() == "1"
    assert len(os.sched_getaffinity(0)) == cores
    assert "it <broke>" in page
    assert "it &lt;broke&gt;" in shown
    assert 'src="pictured/p.png"' in shown
    assert json.loads((out / "good" / "record.json").read_text())["result"]["ratio"] == 1.25

    (tmp_path / "bad.py").write_text("print('[1]')")
    fine = [row for row in rows if row.name not in ("mute", "slow")]
    assert report.run_all(fine, 0, out, tmp_path)
    assert (tmp_path / "count").read_text() == "x"  # what is finished is kept
    assert "FAILED" not in (out / "report.md").read_text()


def test_another_machine_needs_another_folder(report, tmp_path):
    report.open_report(tmp_path)
    head = tmp_path / "machine.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | {"cores": 999}))
    with pytest.raises(InputError, match="cores 999"):
        report.open_report(tmp_path)


def test_the_exit_code_is_that_of_the_rows(report, rows, monkeypatch, tmp_path):
    monkeypatch.setattr(report, "shared_folder", lambda: tmp_path)
    words, bad, good = ["report.py", "--out", str(tmp_path / "out")], rows[0], rows[3]
    for kept, only, code in (([good], [], 0), ([bad, good], [], 1), ([bad, good], ["good"], 0)):
        monkeypatch.setattr(report, "BENCHMARKS", kept)
        monkeypatch.setattr(sys, "argv", words + ["--only", *only] * bool(only))
        with pytest.raises(SystemExit) as caught:
            report.main()
        assert caught.value.code == code
    page = (tmp_path / "out" / "report.md").read_text()
    assert "FAILED" in page  # of the row that the last call did not ask for
    assert json.loads((tmp_path / "out" / "good" / "record.json").read_text())["cores"] == 1
