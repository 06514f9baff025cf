"""Options reach the verb and its config; whatever is wrong ends in one line and exit code 2."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from refused import refusal

from full4d_jax.cli import call, main, read_options, verbs
from full4d_jax.commands.lift import lift
from full4d_jax.commands.run import run
from full4d_jax.commands.sample import sample
from full4d_jax.config import Config
from full4d_jax.generation.cascade import WEIGHTS as UPSAMPLER
from full4d_jax.session.fields import Shown
from full4d_jax.source import kinds, options
from full4d_jax.source.depth.our_network import WEIGHTS as DEPTH

VERBS = {"run": run, "sample": sample, "lift": lift}
PRESET = "import dataclasses\nfrom full4d_jax.config import DEFAULT\n"


def test_help_is_fast_because_it_imports_no_jax():
    check = (
        "import sys; from full4d_jax.cli import main; main(['--help']);"
        "assert 'tyro' not in sys.modules; main(['run', '--help']); sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in verbs():
        assert f"\n  {verb} " in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="a setting of Linux")
def test_the_command_starts_once_more_for_large_pages(tmp_path):
    """What each start of Python finds in the environment is printed as it starts."""
    hook = "import os; print('start', os.environ.get('GLIBC_TUNABLES'))"
    (tmp_path / "sitecustomize.py").write_text(hook)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    environment.pop("GLIBC_TUNABLES", None)
    command = [sys.executable, "-m", "full4d_jax", "--help"]
    starts = []
    for given in ({}, {"GLIBC_TUNABLES": "glibc.malloc.check=0"}):
        done = subprocess.run(
            command,
            env=environment | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "full4d" in done.stdout
        starts.append(re.findall(r"^start (.*)$", done.stdout, re.MULTILINE))
    assert starts == [["None", "glibc.malloc.hugetlb=1"], ["glibc.malloc.check=0"]]


def test_a_command_says_that_it_begins_before_it_imports_jax(places):
    commands = (
        *("run --scene 3", "lift made", "render made", "view x.ply", "evaluate"),
        *(
            "depth a.mp4",
            "train",
            "inspect",
            "data check sets",
            "convert splats x.ply y.spz",
        ),
    )
    check = (
        "import sys; from full4d_jax.cli import main; sys.modules['jax'] = None\n"
        "for words in sys.argv[1:]:\n"
        "    try: main(words.split())\n"
        "    except ImportError: print('no jax')"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, *commands], capture_output=True, text=True
    )
    for words in commands:
        assert re.search(
            f"^full4d {words} \\.\\.\\.\n(.*\n)?no jax", done.stdout, re.M
        ), words


def test_verbs_compute_in_32_bits_whatever_the_shell_sets_for_jax():
    check = (
        "from full4d_jax.cli import main; main(['--version'])\n"
        "import jax.numpy as jnp; print((jnp.arange(3) + jnp.ones(3)).dtype)"
    )
    settings = {"JAX_ENABLE_X64": "1", "JAX_NUMPY_DTYPE_PROMOTION": "strict"}
    command = [sys.executable, "-c", check]
    printed = subprocess.check_output(command, env=os.environ | settings, text=True)
    assert printed.endswith("float32\n")


@pytest.mark.parametrize("verb", ["run", "sample", "lift"])
def test_help_leaves_out_training_and_help_all_does_not(capsys, verb):
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert "--training" not in said
    assert "--model" not in said
    assert ("--sampler.steps" in said) == (verb != "lift")
    assert ("--quality" in said) == (verb != "sample")
    assert main([verb, "--help-all"]) == 0
    assert "--training.steps" in capsys.readouterr().out


@pytest.fixture
def places(tmp_path, monkeypatch) -> Path:
    """A working directory with a little of each kind of source, where `kind_of` looks."""
    files = (
        "a.mp4 b.MOV sets/index.json made/grid.npz all/one/grid.npz films/b.mp4 x.ply"
    )
    files += " x.splat capture.npz x.4dgs x.glb x.r3d"
    for file in files.split():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(b"")
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "transforms.json").write_text("{}")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.mp4", kinds.VIDEO),
        ("sets", kinds.DATASET),
        ("made", kinds.RUN),
        ("all", kinds.RUNS),
        ("capture", kinds.CAPTURE),
        ("films", kinds.FILMS),
        ("x.ply", kinds.SPLATS),
        ("capture.npz", kinds.ARRAYS),
        ("x.4dgs", kinds.WRITTEN),
        ("x.glb", kinds.GLTF),
        ("x.r3d", kinds.RECORD3D),
    ],
)
def test_what_a_path_is(places, path, kind):
    assert kinds.kind_of(Path(path)) == kind


@pytest.mark.parametrize(
    ("words", "way"),
    [
        ("run", options.VideoOptions()),
        ("run --fps 8 a.mp4 --out a", options.VideoOptions(Path("a.mp4"))),
        ("run --out=scene --scene 3", options.DemoOptions(3)),
        ("run sets --view 0 2", options.DatasetViewOptions(Path("sets"), view=(0, 2))),
        ("sample --config four_real", options.DemoGridOptions()),
        (
            "sample a.mp4 --freeze-time b.MOV --config four_real",
            options.TwoVideosOptions(Path("a.mp4"), Path("b.MOV")),
        ),
        ("lift", options.GridOptions()),
        (
            "lift sets --views 0 1",
            options.DatasetClipOptions(Path("sets"), views=(0, 1)),
        ),
        ("lift capture", options.CaptureOptions(Path("capture"))),
        (
            "lift capture.npz --held_out none",
            options.CaptureOptions(Path("capture.npz"), held_out="none"),
        ),
    ],
)
def test_the_path_chooses_the_source(places, words, way):
    verb, *rest = words.split()
    bound = read_options(VERBS[verb], f"full4d {verb}", rest)
    assert isinstance(bound, partial)
    found = bound.keywords["source"]
    assert type(found) is type(way)
    fields = "video dataset view views scene fixed_view freeze_time folder capture"
    for field in [*fields.split(), "held_out"]:
        assert getattr(found, field, None) == getattr(way, field, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "run made",
            "found the folder of a run, expected a video or a data set.*; go on there",
        ),
        (
            "sample capture",
            "found a capture, expected .*; make a data set of it with full4d data",
        ),
    ],
)
def test_a_source_of_another_kind_is_refused(capsys, places, words, message):
    assert re.search(message, refusal(capsys, *words.split()).rstrip())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sample --veiws 3", "--views"),
        ("run a.mp4 sets", "sets"),
        ("run --fov=40 --scene 3", "--fov"),
    ],
)
def test_an_option_that_cannot_be_read_is_named(capsys, places, words, said):
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("run a.mp4 --rows abc", "--rows: found abc, expected a whole number; see "),
        ("run a.mp4 --fps=1s", "--fps: found 1s, expected a number; see full4d run"),
        ("run a.mp4 --quality drft", "found drft, expected draft or normal or high"),
        ("run a.mp4 --rows", "--rows: found no value, expected a whole number"),
        ("run a.mp4 --rows --fps 3", "--rows: found no value, expected a whole"),
        ("sample --data.frames x", "--data.frames: found x, expected a whole number"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_in_one_line(
    capsys, places, words, message
):
    assert message in refusal(capsys, *words.split())


def test_options_override_the_config_and_reach_the_verb(tmp_path):
    preset = tmp_path / "preset.py"
    changed = "config = dataclasses.replace(DEFAULT, name='mine', seed=5)\n"
    preset.write_text(PRESET + changed)
    calls = []

    def verb(
        config: Annotated[Config, Shown(("seed",))], *, video: Path, size: int = 3
    ) -> None:
        calls.append((config, video, size))

    call(
        verb,
        "full4d verb",
        ["--model.width", "128", "--config", str(preset), "--video", "a.mp4"],
    )
    call(verb, "full4d verb", ["--video=b.mp4", "--seed=7", "--size", "4"])
    (first, video, size), (second, other, four) = calls
    assert (first.name, first.seed, first.model.width) == ("mine", 5, 128)
    assert (video, size) == (Path("a.mp4"), 3)
    assert (second.name, second.seed, other, four) == ("demo", 7, Path("b.mp4"), 4)


def test_small_programs_are_kept_between_runs_and_empty_ones_are_not(tmp_path):
    cache = tmp_path / ".cache/full4d/jax"
    cache.mkdir(parents=True)
    (cache / "jit_add-cache").touch()
    words = (
        "import sys; from full4d_jax.cli import main; main(['--version']);"
        "import jax; jax.jit(lambda x: x + 1)(1.0)"
    )
    environment = {
        name: x for name, x in os.environ.items() if not name.startswith("JAX_")
    }
    subprocess.run(
        [sys.executable, "-c", words],
        env=environment | {"HOME": str(tmp_path)},
        check=True,
    )
    assert list(cache.glob("jit__lambda*"))
    assert not (cache / "jit_add-cache").exists()


def test_config_files_are_checked(capsys, tmp_path):
    line = refusal(capsys, "run", "--config", tmp_path / "none.py")
    assert re.search("no such file, expected .* one of debug, demo", line)
    preset = tmp_path / "preset.py"
    broken = {
        "widht": "config = dataclasses.replace(DEFAULT, widht=3)\n",
        "SyntaxError": "config = (\n",
        "config": "other = 3\n",
    }
    for found, text in broken.items():
        preset.write_text(PRESET + text)
        line = refusal(capsys, "run", "--config", preset)
        assert found in line
        assert str(preset) in line
    assert str(tmp_path) in refusal(capsys, "run", "--config", tmp_path)


@pytest.fixture
def clip(tmp_path) -> Path:
    """A video that every model could use."""
    from full4d_jax.media.video_io import write_video

    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 96, 3), np.uint8)
    write_video(tmp_path / "clip.mp4", noise.repeat(12, 0), 12)
    return tmp_path / "clip.mp4"


def test_videos_are_checked(capsys, tmp_path, clip):
    verb = "sample"
    out = tmp_path / "out"
    text = tmp_path / "text.mp4"
    text.write_text("no film\n" * 50)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:700])
    (tmp_path / "empty").mkdir()
    for video in (tmp_path / "none.mp4", text, cut, tmp_path / "empty"):
        assert str(video) in refusal(capsys, verb, video, "--out", out)
    given = verb, clip, "--out", out
    assert "give --seconds and --fps" in refusal(capsys, *given, "--data.frames", 40)
    assert "lower --start" in refusal(capsys, *given, "--start", 9)
    assert "--fov" in refusal(capsys, *given, "--fov", 300)


def test_checkpoints_of_another_shape_are_refused(capsys, tmp_path, clip):
    given = "run", "--out", tmp_path / "o"
    line = refusal(capsys, "run", clip, *given[1:], "--model.width", 96)
    assert "checkpoint" in line
    assert "none" in refusal(capsys, *given, "--checkpoint", tmp_path / "none")
    assert "found a folder" in refusal(capsys, *given, "--checkpoint", tmp_path)


def test_an_upsampler_belongs_to_priors_of_its_size(capsys, tmp_path, clip):
    given = ["sample", clip, "--out", tmp_path / "o", "--upsampler"]
    assert "none.safetensors" in refusal(capsys, *given, tmp_path / "none.safetensors")
    assert "depth" in refusal(capsys, *given, DEPTH)
    line = refusal(capsys, *given, UPSAMPLER, "--data.height", 32)
    assert "expected none beside codec pixels at 32 rows" in line


def test_output_folders_are_checked_and_what_is_there_stays(capsys, tmp_path, clip):
    before = clip.read_bytes()
    for out in (clip, clip / "below", "/proc/full4d"):
        assert str(out) in refusal(capsys, "sample", "--out", out)
        assert str(out) in refusal(capsys, "lift", out)
        line = refusal(capsys, "data", "procedural", "--out", f"{out}/scenes")
        assert str(out) in line
    assert clip.read_bytes() == before
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "grid.npz").write_bytes(b"")
    assert "full4d sample" in refusal(capsys, "lift", tmp_path / "run")
    assert "full4d sample" in refusal(capsys, "render", tmp_path / "run")
