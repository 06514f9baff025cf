"""Options reach the verb and its config; whatever is wrong ends in one line and exit code 2."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import tyro
from refused import refusal

from full4d_jax.cli import call, main, read_options, verbs
from full4d_jax.commands.lift import lift
from full4d_jax.commands.sample import sample
from full4d_jax.config import Config
from full4d_jax.config.depth import DepthConfig
from full4d_jax.generation.cascade import SHIPPED as UPSAMPLER
from full4d_jax.source import options
from full4d_jax.source.depth.estimate import SHIPPED as DEPTH

FOUR_REAL = Path(__file__).parents[2] / "configs" / "four_real.py"
PRESET = "import dataclasses\nfrom full4d_jax.config import DEFAULT\n"


def test_help_is_fast_because_it_imports_no_jax():
    check = (
        "import sys; from full4d_jax.cli import main; main(['--help']);"
        "assert not {'jax', 'numpy', 'tyro'} & set(sys.modules); main(['run', '--help']);"
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in verbs():
        assert f"\n  {verb} " in done.stdout
    assert "--video PATH" in done.stdout


@pytest.mark.parametrize("columns", ["80", "100"])
@pytest.mark.parametrize("verb", ["run", "sample", "lift", "render"])
def test_help_fits_on_two_screens_and_leaves_out_training(capsys, monkeypatch, verb, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert main([verb, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 110
    assert max(map(len, lines)) <= int(columns)
    said = "\n".join(lines)
    assert not any(f"--{name}." in said for name in ("training", "optimizer", "mesh", "model"))
    if verb != "render":
        assert "--training.steps" not in said
        assert main([verb, "--help-all"]) == 0
        everything = capsys.readouterr().out
        assert "--training.steps" in everything
        assert "--sampler.offload" in everything
    assert ("--sampler.offload" in said) == (verb == "sample")


def test_help_begins_with_what_the_chosen_source_needs(capsys):
    for words, first in (
        (["run"], "--video PATH"),
        (["run", "--dataset", "sets"], "--dataset PATH"),
        (["sample", str(FOUR_REAL)], "--fixed_view PATH"),
        (["lift", "--capture", "a.npz"], "--capture PATH"),
    ):
        assert main([*words, "--help"]) == 0
        said = capsys.readouterr().out
        options = [line for line in said.splitlines() if line.startswith("  --")]
        assert options[0].strip().startswith(first)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--view", "1"], "--view: found 1, expected a --dataset beside it; add it"),
        (["run", "--fov=40", "--scene", "3"], "--fov: found 40, expected none, with --scene"),
        (
            ["run", "--dataset", "a", "--path", "ring"],
            "--path: found ring, expected none, with",
        ),
        (
            ["sample", "--video", "a", "--scene", "4"],
            "--video: found a, expected none, with --scene; leave one",
        ),
        (
            ["sample", "--video", "a", "--dataset", "b"],
            "--video: found a, expected none, with --dataset; leave one",
        ),
        (["lift", "--views", "0", "1"], "--views: found 0 1, expected a --dataset beside it"),
        (["lift", "--dataset", "a", "--capture", "b"], "expected none, with --capture; leave one"),
    ],
)
def test_options_of_two_sources_do_not_go_together(capsys, words, message):
    assert message in refusal(capsys, *words)


@pytest.mark.parametrize(
    ("verb", "words", "way"),
    [
        (sample, "--out dataset", options.VideoOptions),
        (sample, "--out=scene", options.VideoOptions),
        (sample, "--out scene --fov 40", options.VideoOptions),
        (sample, "--out video --scene 3", options.DemoOptions),
        (lift, "--out capture", options.GridOptions),
        (sample, "--out dataset --video in.mp4", options.VideoOptions),
        (sample, "--out video --dataset=sets", options.DatasetViewOptions),
    ],
)
def test_values_of_options_do_not_choose_the_source(verb, words, way):
    bound = read_options(verb, "full4d verb", words.split())
    assert isinstance(bound, partial)
    assert type(bound.keywords["source"]) is way
    assert bound.keywords["out"] == Path(words.replace("=", " ").split()[1])


def test_a_word_too_many_is_not_taken_for_the_option_of_its_name(capsys):
    assert "found video" in refusal(capsys, "run", "--scene", "3", "video")


def test_options_override_the_config_and_reach_the_verb(tmp_path):
    preset = tmp_path / "preset.py"
    preset.write_text(PRESET + "config = dataclasses.replace(DEFAULT, name='mine', seed=5)\n")
    calls = []

    def verb(
        config: Annotated[Config, tyro.conf.arg(name="")], *, video: Path, size: int = 3
    ) -> None:
        calls.append((config, video, size))

    call(verb, "full4d verb", [str(preset), "--model.width", "128", "--video", "a.mp4"])
    call(verb, "full4d verb", ["--video=b.mp4", "--seed=7", "--size", "4"])
    (first, video, size), (second, other, four) = calls
    assert (first.name, first.seed, first.model.width) == ("mine", 5, 128)
    assert (video, size) == (Path("a.mp4"), 3)
    assert (second.name, second.seed, other, four) == ("demo", 7, Path("b.mp4"), 4)


def test_the_loaded_config_says_which_options_there_are(tmp_path):
    preset = tmp_path / "preset.py"
    preset.write_text(
        "from full4d_jax.config.depth import DepthConfig\nconfig = DepthConfig(name='d')\n"
    )
    seen = []

    def verb(config: Config | DepthConfig) -> None:
        seen.append(config)

    call(verb, "full4d verb", [str(preset), "--training.steps", "3"])
    call(verb, "full4d verb", ["--sampler.steps", "4"])
    assert isinstance(seen[0], DepthConfig)
    assert seen[0].training.steps == 3
    assert seen[1].sampler.steps == 4


def test_errors_inside_a_verb_keep_their_traceback():
    def verb() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        call(verb, "full4d verb", [])


def test_unknown_verbs_and_options_name_what_is_close(capsys):
    assert "render" in refusal(capsys, "rendr")
    assert "--model.width" in refusal(capsys, "run", "--model.widht", "128")
    assert "--video" in refusal(capsys, "sample", "--vide", "a.mp4")
    assert "'wide'" in refusal(capsys, "run", "--model.width", "wide")
    assert "show" in refusal(capsys, "data", "sho")


def test_config_files_are_checked(capsys, tmp_path):
    assert "no such file" in refusal(capsys, "run", tmp_path / "none.py")
    preset = tmp_path / "preset.py"
    broken = {
        "widht": "config = dataclasses.replace(DEFAULT, widht=3)\n",
        "SyntaxError": "config = (\n",
        "config": "other = 3\n",
    }
    for found, text in broken.items():
        preset.write_text(PRESET + text)
        line = refusal(capsys, "run", preset)
        assert found in line
        assert str(preset) in line
    assert str(tmp_path) in refusal(capsys, "run", tmp_path)
    preset.write_text(
        "from full4d_jax.config.depth import DepthConfig\nconfig = DepthConfig(name='d')\n"
    )
    assert "DepthConfig" in refusal(capsys, "run", preset)


@pytest.fixture
def clip(tmp_path) -> Path:
    """A video that every model could use."""
    from full4d_jax.media.video import write_video

    frames = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8).repeat(12, 0)
    write_video(tmp_path / "clip.mp4", frames, 12)
    return tmp_path / "clip.mp4"


@pytest.mark.parametrize("verb", ["run", "sample"])
def test_videos_are_checked(capsys, tmp_path, clip, verb):
    out = tmp_path / "out"
    text = tmp_path / "text.mp4"
    text.write_text("no film\n" * 50)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:700])
    for video in (tmp_path / "none.mp4", text, cut, tmp_path):
        assert str(video) in refusal(capsys, verb, "--video", video, "--out", out)
    line = refusal(capsys, verb, "--video", clip, "--data.frames", 40, "--out", out)
    assert "give --seconds and --fps" in line
    line = refusal(capsys, verb, "--video", clip, "--start", 9, "--out", out)
    assert "lower --start" in line
    assert "--fov" in refusal(capsys, verb, "--video", clip, "--fov", 300, "--out", out)


def test_camera_files_are_checked(capsys, tmp_path, clip):
    path = tmp_path / "cameras.json"
    cases = {
        "no such file": None,
        "broken JSON": "{",
        "shape (1, 2)": '{"world_to_camera": [[1, 2]]}',
        "(1, 2, 2)": '{"world_to_camera": [[[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]], '
        '"intrinsics": [[[600, 0], [0, 600]]]}',
        "NaN": '{"world_to_camera": [[[1,0,0,NaN],[0,1,0,0],[0,0,1,0],[0,0,0,1]]]}',
    }
    for found, text in cases.items():
        if text:
            path.write_text(text)
        line = refusal(capsys, "sample", "--video", clip, "--path", path, "--out", tmp_path / "o")
        assert found in line
        assert str(path) in line


def test_checkpoints_of_another_shape_are_refusal(capsys, tmp_path, clip):
    line = refusal(capsys, "run", "--video", clip, "--model.width", 96, "--out", tmp_path / "o")
    assert "checkpoint" in line
    line = refusal(capsys, "run", "--checkpoint", tmp_path / "none", "--out", tmp_path / "o")
    assert "none" in line
    line = refusal(capsys, "run", "--checkpoint", tmp_path, "--out", tmp_path / "o")
    assert "found a folder" in line


def test_checkpoints_of_another_model_of_the_same_shape_are_refusal(capsys, tmp_path, clip):
    for option, value in (("heads", 6), ("rope_theta", 10.0), ("sigma_hole", 1.0)):
        line = refusal(capsys, "sample", f"--model.{option}", value, "--out", tmp_path / "o")
        assert f"model.{option}" in line


def test_an_upsampler_belongs_to_priors_of_its_size(capsys, tmp_path, clip):
    given = ["sample", "--video", clip, "--out", tmp_path / "o", "--upsampler"]
    assert "none.safetensors" in refusal(capsys, *given, tmp_path / "none.safetensors")
    assert "depth" in refusal(capsys, *given, DEPTH)
    line = refusal(capsys, *given, UPSAMPLER, "--data.height", 32)
    assert "one for pixels of 64 rows, expected none beside codec pixels at 32 rows" in line


def test_output_folders_are_checked_and_what_is_there_stays(capsys, tmp_path, clip):
    before = clip.read_bytes()
    for out in (clip, clip / "below", "/proc/full4d"):
        for verb in ("run", "sample", "lift", "render"):
            assert str(out) in refusal(capsys, verb, "--out", out)
        line = refusal(capsys, "data", "show", "--out", f"{out}/scenes.png")
        assert str(out) in line
    (tmp_path / "a.png").mkdir()
    assert "found a folder" in refusal(capsys, "data", "show", "--out", tmp_path / "a.png")
    assert clip.read_bytes() == before
    empty = tmp_path / "empty"
    assert "full4d sample" in refusal(capsys, "lift", "--out", empty)
    assert "full4d sample" in refusal(capsys, "render", "--out", empty)
    assert not empty.exists()
