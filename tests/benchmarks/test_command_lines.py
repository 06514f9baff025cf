"""The benchmarks' command lines: help, one line for bad input, and what the last line holds."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., tuple[object, str]]:
    """Runs a benchmark in this process; gives what it exits with, and what it printed."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def call(name: str, *words: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            importlib.import_module(name).main()
        return caught.value.code, capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", ["rasterizer", "fitting", "attention"])
def test_help_lists_the_options(run, name):
    code, said = run(name, "--help")
    assert code == 0
    assert "usage:" in said
    assert {"rasterizer": "--compare", "fitting": "--ways", "attention": "--views"}[name] in said


def test_what_the_rasterizer_cannot_compare_is_told_in_one_line(run, tmp_path):
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("x = \n")
    (tmp_path / "text.txt").write_text("x = 1\n")
    for words, said in (
        (["--repeats", 0], "--repeats: found 0, expected at least 1"),
        (["--compare", tmp_path / "none.py"], "none.py: found no such file"),
        (["--compare", tmp_path], "found no such file, expected a Python file"),
        (["--compare", tmp_path / "text.txt"], "text.txt: found another kind of file"),
        (["--compare", tmp_path / "empty.py"], "empty.py: found no function render"),
        (["--compare", tmp_path / "broken.py"], "broken.py: SyntaxError"),
    ):
        code, _ = run("rasterizer", *words)
        assert said in str(code)
        assert "\n" not in str(code)


def test_what_cannot_be_fitted_is_told_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FULL4D_DATA", str(tmp_path))
    assert "is not a folder: set FULL4D_DATA" in str(run("fitting", "fox")[0])
    (tmp_path / "data").mkdir()
    for words, said in (
        (["fox", "--steps", 0], "--steps: found 0, expected 1 or more"),
        (["fox", "--instants", 2], "--instants: found 2, expected 3 or more"),
        (["fox", "--height", 20], "--height: found 20, expected 44 or more"),
        (["fox", "--ways", "magic"], "--ways: found ['magic'], expected some of"),
        (["photos"], "photos: "),
        (["fox"], "fox: "),
        (["pose2sim"], "pose2sim: "),
        (["splat"], "guitar.compressed.ply: no such file"),
    ):
        code, _ = run("fitting", *words, "--out", tmp_path / "out")
        assert said in str(code)
        assert "\n" not in str(code)
    assert not (tmp_path / "out").exists()


def test_more_instants_than_the_walker_has_are_refused(run, shared_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FULL4D_DATA", str(shared_data))
    code, _ = run("fitting", "pose2sim", "--instants", 60, "--out", tmp_path / "out")
    assert str(code).startswith("pose2sim: ")
    assert "of 60 instants" in str(code)


# Not a renderer: what it takes to be timed beside one.
PROTOTYPE = """
import jax.numpy as jnp
def render(means, quats, scales, opacities, colors, V, K, *, W, H, M, ts):
    return jnp.zeros((H, W, 3)) + colors.mean() + means.mean(), None, None
"""


def test_the_last_line_is_json_with_the_ratios(tmp_path):
    (tmp_path / "prototype.py").write_text(PROTOTYPE)
    words = ["--compare", tmp_path / "prototype.py", "--scenes", "10k", "--repeats", "1"]
    command = [sys.executable, FOLDER / "rasterizer.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FOLDER.parent)
    result = json.loads(done.stdout.splitlines()[-1])
    others = ["prototype"]
    if all(importlib.util.find_spec(name) for name in ("torch", "gsplat", "nerfacc")):
        others.append("gsplat_torch")
    for kind in ("forward", "forward_backward"):
        assert result[f"ours_{kind}_10k"] > 0
        assert 0 < result[f"prototype_{kind}_10k"] < 1  # it does nothing
        assert all(result[f"{who}_{kind}_10k"] > 0 for who in others)
