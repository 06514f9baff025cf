"""The benchmarks' command lines: help, one line for bad input, and what the last line holds."""

import fcntl
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from input_pipeline.datasets.dataset import open_dataset

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


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("rasterizer", "--compare"),
        ("fitting", "--ways"),
        ("attention", "--views"),
        ("reprojection", "--moments"),
        ("real_videos", "--page"),
        ("aside", "runs"),
    ],
)
def test_help_lists_the_options(run, name, option):
    code, said = run(name, "--help")
    assert code == 0
    assert "usage:" in said
    assert option in said


def test_a_folder_without_runs_is_told_in_one_line(run, tmp_path):
    code, _ = run("aside", tmp_path, "--out", tmp_path / "out")
    assert code == f"{tmp_path}: found no finished run, expected what real_videos.py makes"
    assert not (tmp_path / "out").exists()


def test_clips_that_are_not_there_are_told_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FULL4D_DATA", str(tmp_path))
    clip = tmp_path / "data" / "videos" / "bikes.mp4"
    for words, said in (
        ([], "FULL4D_DATA: found no clip in"),
        (["--clips", "cars"], "--clips: found cars, expected one of bikes"),
        (["--page"], "--clips: found intel_preview_store-aisle-detection, expected one of bikes"),
    ):
        code, _ = run("real_videos", *words, "--out", tmp_path / "out")
        assert said in str(code)
        assert "\n" not in str(code)
        clip.parent.mkdir(parents=True, exist_ok=True)
        clip.touch()
    assert not (tmp_path / "out").exists()


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


def test_two_trainings_in_few_steps_do_not_share_a_folder(run, tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _ = run("few_steps", "--out", tmp_path)
    assert str(code).startswith(f"output folder: {tmp_path}: found in use by")
    assert "\n" not in str(code)


# Not a renderer: what it takes to be timed beside one.
PROTOTYPE = """
import jax.numpy as jnp
def render(means, quats, scales, opacities, colors, V, K, *, W, H, M, ts):
    return jnp.zeros((H, W, 3)) + colors.mean() + means.mean(), None, None
"""


@pytest.mark.slow
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


def test_benchmarks_that_are_written_about_exist():
    root = FOLDER.parent
    pages = [root / "README.md", *(root / "docs").glob("*.md"), *(root / "configs").glob("*.py")]
    found = {
        name
        for page in pages
        for name in re.findall(r"(?<!tests/)benchmarks/\w+\.py", page.read_text())
    }
    assert len(found) > 10
    assert [program for program in found if not (root / program).is_file()] == []


@pytest.fixture
def answer(monkeypatch, capsys) -> Callable[..., dict]:
    """Runs a benchmark in this process; gives its last line."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(FOLDER.parent)

    def call(name: str, *words: str) -> dict:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        importlib.import_module(name).main()
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return call


@pytest.mark.slow
def test_training_of_a_size_is_compared_with_torch(answer):
    words = "--width 32 --layers 1 --heads 2 --ffn 64 --tokens 4 --frames 2 --text 3 --repeats 1"
    found = answer("training", *words.split())
    assert found["seconds_per_step"] > 0
    assert found["mfu"] is None
    assert found["data_wait"] is None
    assert found["flops_per_second"] > 0
    has_torch = all(importlib.util.find_spec(name) for name in ("torch", "diffusers"))
    assert (found["torch_over_ours"] is not None) == has_torch
    if has_torch:
        ratio = found["torch_seconds_per_step"] / found["seconds_per_step"]
        assert found["torch_over_ours"] == pytest.approx(ratio, rel=0.2)  # of rounded numbers


@pytest.mark.slow
def test_training_of_a_preset_says_what_its_data_cost(answer):
    found = answer("training", "--config", "debug", "--steps", "1", "--turns", "1")
    assert found["seconds_per_step"] > 0
    assert 0 <= found["data_wait"] < 1
    assert found["render_seconds"] > 0
    assert found["torch_over_ours"] is None


@pytest.mark.parametrize("kind", [[], ["--film"]])
def test_input_is_timed_against_raw_decoding(answer, monkeypatch, kind):
    module = importlib.import_module("input")
    monkeypatch.setattr(module, "CLIPS", 8)
    monkeypatch.setattr(module, "FILMS", 4)
    # Ways with processes of their own take long to start; our own loader stands in for them.
    for name in ("dataloader", "processes"):
        monkeypatch.setattr(module, name, lambda *x: module.ours(open_dataset(x[0]), *x[1:]))
    words = "--sizes 16x24 --seconds 0.2 --turns 1 --threads 1"
    found = answer("input", *words.split(), *kind)
    assert 0 < found["fraction_of_raw_decode"] < 1.2
    size = found["sizes"]["16x24"]
    ratio = size["frames_per_second"] / size["raw_frames_per_second"]
    assert size["fraction_of_raw_decode"] == pytest.approx(ratio, abs=0.002)


def test_reading_tiny_records_is_watched_for_leaks():
    # In a process of its own: this one may give back meanwhile what other tests held.
    command = [sys.executable, FOLDER / "input.py", "--leak", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FOLDER.parent)
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found["resident_mib"]) == 10
    assert abs(found["growth_mib"]) < 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("input", "--turns", 0), "--turns: found 0, expected above 0"),
        (("input", "--sizes", "256"), "--sizes: found 256, expected HxW"),
        (("training", "--repeats", 0), "--repeats: found 0, expected at least 1"),
        (("training", "--tokens", 5), "--tokens: found 5, expected a square number"),
        (("training", "--config", "configs/none.py"), "no such file"),
        (("training", "--config", "debug", "--steps", 0), "--steps: found 0"),
        (("sampling", "--codec_divide", 0), "--codec_divide: found 0"),
        (("sampling", "--model.heads", 5), "model.heads"),
    ],
)
def test_what_cannot_be_timed_is_told_in_one_line(run, words, said):
    code, _ = run(*words)
    assert said in str(code)
    assert "\n" not in str(code)
