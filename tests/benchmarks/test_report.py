"""The report: every benchmark is in it with words that parse; it goes on, resumes, and says so."""

import argparse
import ast
import importlib
import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from full4d_jax.cli import read_options

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
sys.path.insert(0, str(FOLDER))
report, accelerator = map(importlib.import_module, ("report", "accelerator"))
sys.path.remove(str(FOLDER))
COMMANDS = [*report.ROWS, *(row for row in accelerator.ROWS if row.name != "tests")]


def load(path: Path) -> ModuleType:
    """By path: `codecs` is also a module of Python's own."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Parsed(Exception):
    """Raised instead of running what was asked for."""


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.command)
def test_every_command_parses(row, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(FOLDER))
    for size in (row.small, row.large):
        program, *words = f"{row.command} {size}".split()
        if program == "-m":
            module, verb, *words = words
            assert module == "full4d_jax.cli"
            function = getattr(importlib.import_module(f"full4d_jax.commands.{verb}"), verb)
            assert read_options(function, verb, words) is not None
            continue
        module = load(ROOT / program)
        parse = argparse.ArgumentParser.parse_args

        def only_parse(self, *args, parse=parse):
            raise Parsed(parse(self, *args))

        def only_read(function, prog, argv):
            raise Parsed(read_options(function, prog, argv))

        with monkeypatch.context() as patch:
            patch.setattr(argparse.ArgumentParser, "parse_args", only_parse)
            if hasattr(module, "call"):
                patch.setattr(module, "call", only_read)
            patch.setattr(sys, "argv", [program, *words])
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
    reported = {Path(row.command.split()[0]).name for row in report.ROWS}
    # These train and convert and measure nothing, or order what is in the report.
    others = {"report.py", "train_shipped.py", "convert_networks.py", "accelerator.py"}
    assert programs - others == reported - {"-m"}
    assert len({row.name for row in report.ROWS}) == len(report.ROWS)


def test_minutes_decide_what_runs_large():
    rows = [report.Row(name, "", "", "", (1, x)) for name, x in zip("abc", (3, 9, 2), strict=True)]
    assert report.plan(rows, 0) == {"a": False, "b": False, "c": False}
    assert report.plan(rows, 6) == {"a": True, "b": False, "c": True}
    assert all(report.plan(rows, 14).values())


FAKES = {  # stand-ins for benchmarks, with all ways to end
    "bad": "import sys; sys.exit('it broke')",
    "mute": "print('no numbers')",
    "slow": "import subprocess, sys; subprocess.run([sys.executable, 'ticks.py'])",
    "ticks": "import time\nwhile time.sleep(0.05) is None: open('ticks', 'a').write('x')",
    "good": "import json, os, pathlib, sys; out = pathlib.Path(sys.argv[1])\n"
    "pathlib.Path('count').open('a').write('x'); print('noise')\n"
    "(out / 'page.md').write_text('a page of its own')\n"
    "sizes = {'a': {'r': 1.25}, 'b': {'x': 'not asked for'}}\n"
    "print(json.dumps({'cores': len(os.sched_getaffinity(0)), 'sizes': sizes}))",
}


def test_the_report_goes_on_says_what_failed_and_resumes(monkeypatch, tmp_path):
    for name, source in FAKES.items():
        (tmp_path / f"{name}.py").write_text(source)
    out, head = tmp_path / "out", {"cores": 1, "devices of jax": "1 x cpu cpu"}
    rows = [report.Row(x, f"{x}.py", "", "", (0, 0)) for x in ("bad", "mute", "slow")]
    rows += [report.Row("good", "good.py OUT", "", "", (0, 0), "cores */r", one_core=True)]
    monkeypatch.setattr(report, "REPOSITORY", tmp_path)
    monkeypatch.setattr(report, "GRACE", 4.0)
    monkeypatch.setattr(report, "ROWS", rows)
    monkeypatch.setattr(report, "machine", lambda: head)

    def call(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["report.py", "--out", str(out), *words])
        try:
            report.main()
        except SystemExit as stopped:
            return str(stopped)
        return ""

    assert call().startswith("failed: bad, mute, slow;")
    ticks = (tmp_path / "ticks").stat().st_size  # of what the slow one started
    assert ticks > 0
    time.sleep(0.5)
    assert (tmp_path / "ticks").stat().st_size == ticks
    page = (out / "report.md").read_text()
    for text in ("exit code 1", "no result", "stopped after 4 s", "it broke", "python good.py OUT"):
        assert text in page
    assert "[page.md](good/page.md)" in page
    assert "1.25" in page
    assert "not asked for" not in page
    assert json.loads((out / "good" / "record.json").read_text())["result"]["cores"] == 1

    (tmp_path / "bad.py").write_text("print('[1]')")
    assert call("--only", "bad", "good") == ""
    assert (tmp_path / "count").read_text() == "x"  # what is finished is kept
    page = (out / "report.md").read_text()
    assert "exit code 1" not in page
    assert "no result" in page  # of the row that the last call did not ask for
    head["cores"] = 2
    assert call("--only", "good") == ""
    assert (tmp_path / "count").read_text() == "xx"  # another machine's result is not
    assert "no result" not in (out / "report.md").read_text()
