"""The weights in the package can be trained again by the commands in the docstrings of configs.

A summary beside the weights holds the config of their last training, and below `init` those of the
trainings before. Each is what a command of the docstring asks for.
"""

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from full4d_jax.cli import main, read_options
from full4d_jax.commands.train import TRAINED, train
from full4d_jax.config import check_config
from full4d_jax.media.video import write_video
from full4d_jax.models.weights import REMOVED
from full4d_jax.training import depth_training
from full4d_jax.training.checkpoints.provenance import without_machine_paths
from full4d_jax.training.checkpoints.resume import CHANGEABLE

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "full4d_jax" / "checkpoints"
CONFIGS = {
    "depth": "depth",
    "prior": "demo",
    "upsampler": "upsampler",
    "inpainting": "inpainting",
    "four_real": "four_real",
    "flow": "flow",
}
BEGAN_WITH = {"flow": "prior"}  # shipped weights, too, whose trainings come before
ADOPTED = {"fast_depth", "segmentation", "silhouette", "tiefenrausch"}  # which others trained
WIDENED = "wider.safetensors"  # weights of old with zeros for inputs that they did not have
WITHOUT_EFFECT = {"name", *CHANGEABLE, *(f"model.{name}" for name in REMOVED)}
WITHOUT_EFFECT |= {"flow.interval_share"}  # of a loss that is gone; 0 in every summary
SHORT = "--training.steps 2 --training.log-every 1 --training.checkpoint-every 2"
SMALL_PRIOR = (
    f"{SHORT} --mesh.data 1 --model.width 16 --model.heads 1 --model.ffn 16 --model.layers 1 "
)
SMALL_PRIOR += "--data.height 16 --data.width 16 --flow.perceptual 0"
SMALL = {
    "depth": f"{SHORT} --training.batch 1 --data.sizes 64 64 64 --data.rooms ''",
    "prior": SMALL_PRIOR,
    "inpainting": f"{SHORT} --training.batch 1 --perceptual 0 --data.side 32",
    "four_real": SMALL_PRIOR,
    "flow": f"{SHORT} --mesh.data 1 --training.batch 2 --flow.perceptual 0",
    "upsampler": f"{SHORT} --training.batch 1 --perceptual 0 --data.rows 64 "
    "--data.crop 64 --data.pool 2",
}


def docstring(name: str) -> str:
    """The docstring of the config of shipped weights, with commands each on one line."""
    source = (ROOT / "configs" / f"{CONFIGS[name]}.py").read_text()
    text = ast.get_docstring(ast.parse(source)) or ""
    return re.sub(r"\\\n\s*", "", text)


def commands(name: str) -> list[list[str]]:
    """The words after `full4d train` of all commands on lines of their own."""
    return [shlex.split(x) for x in re.findall(r"^ *full4d train (.+)$", docstring(name), re.M)]


def commands_up_to_the_last_new(name: str) -> list[list[str]]:
    """Return the commands but the last ones that repeat options of others with other numbers."""
    kinds = []
    for words in commands(name):
        options = {word for word in words if word.startswith("--")}
        widened = any(word.endswith(WIDENED) for word in words)
        kinds.append((options, widened))
    last = max(i for i, kind in enumerate(kinds) if kind not in kinds[:i])
    return commands(name)[: last + 1]


def resolved(words: list[str]) -> Any:
    """The config that a command trains."""
    bound = read_options(train, "full4d train", words.copy())
    assert isinstance(bound, partial)
    return bound.keywords["config"]


def trainings(name: str) -> list[dict[str, Any]]:
    """The summaries of the trainings of shipped weights, the last one first."""
    summary, found = json.loads((SHIPPED / f"{name}.json").read_text()), []
    while summary:
        found.append(summary)
        init = summary.get("init") or {}
        summary = init.get("summary", init)  # earlier programs wrote it there itself
    return found


def flat(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Values by dotted names, as JSON."""
    for name, value in json.loads(json.dumps(tree)).items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def differences(summary: dict[str, Any], config: Any) -> list[str]:
    """Fields that the training of a summary had otherwise than a config asks for.

    A field that its program did not know must have the default that it has now. Folders are only
    given or not. The number of steps is that of the steps done.
    """
    had = {k: v for k, v in flat(summary["config"]) if k.partition(".")[0] in TRAINED}
    now = {k: v for k, v in flat(asdict(config)) if k.partition(".")[0] in TRAINED}
    defaults = dict(flat(asdict(type(config)())))
    had = now | {k: defaults[k] for k in now if k.partition(".")[0] != "mesh"} | had
    for name in ("data.photos", "data.videos", "data.rooms"):
        had[name], now[name] = bool(had.get(name)), bool(now.get(name))
    found = [k for k in had if k not in WITHOUT_EFFECT and had[k] != now.get(k)]
    return found + ["training.steps"] * (summary["steps"] != config.training.steps)


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def all_commands() -> list[tuple[str, list[str]]]:
    return [(name, words) for name in CONFIGS for words in commands(name)]


@pytest.mark.parametrize(("name", "words"), all_commands())
def test_commands_are_valid(name, words):
    check_config(resolved(words))


def test_all_files_have_a_config_that_names_commands():
    assert {file.stem for file in SHIPPED.glob("*.safetensors")} == ADOPTED | set(CONFIGS)
    assert {name for name, _ in all_commands()} == set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_trainings_are_those_of_the_commands(name):
    several = commands(name)
    if name in BEGAN_WITH:
        several += commands(BEGAN_WITH[name])
    configs = [resolved(words) for words in several]
    for summary in trainings(name):
        closest = min((differences(summary, config) for config in configs), key=len)
        assert closest == []


@pytest.mark.parametrize("name", CONFIGS)
def test_summaries_hold_no_machine_paths(name):
    summary = json.loads((SHIPPED / f"{name}.json").read_text())
    assert without_machine_paths(summary) == summary


def test_machine_paths_leave_names(tmp_path):
    data = {"photos": str(tmp_path / "photos"), "videos": "../clips", "records": ["/a/b=3", "c=1"]}
    init = {"path": "runs/a.safetensors", "summary": "/a/b.safetensors"}
    found = without_machine_paths({"config": {"data": data}, "config_sha256": "0", "init": init})
    short = {"photos": "photos", "videos": "clips", "records": ["b=3", "c=1"]}
    assert found["config"] == {"data": short}
    assert found["config_sha256"] != "0"
    assert found["init"] == {"path": "runs/a.safetensors", "summary": "b.safetensors"}
    assert without_machine_paths(found) == found


@pytest.fixture
def workplace(tmp_path, write_pictures, monkeypatch) -> Path:
    """A folder with the configs, the weights, a few photographs and a video."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "full4d_jax").mkdir()
    (tmp_path / "full4d_jax" / "checkpoints").symlink_to(SHIPPED)
    write_pictures([tmp_path / "PHOTOS" / f"{i}.png" for i in range(3)], size=(80, 80))
    film = np.full((12, 96, 128, 3), 120, np.uint8)
    for i, frame in enumerate(film):  # somebody walks
        frame[20:80, 10 + 7 * i : 34 + 7 * i] = (230, 30, 30)
    (tmp_path / "VIDEOS").mkdir()
    write_video(tmp_path / "VIDEOS" / "a.mp4", film, fps=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("depth", marks=pytest.mark.long),
        pytest.param("prior", marks=pytest.mark.slow),
        pytest.param("upsampler", marks=pytest.mark.slow),
        pytest.param("inpainting", marks=pytest.mark.slow),
        pytest.param("four_real", marks=pytest.mark.long),
        pytest.param("flow", marks=pytest.mark.slow),
    ],
)
def test_commands_train(name, workplace, monkeypatch):
    """One after the other, each from the weights of the one before, at a tiny size."""
    monkeypatch.setattr(depth_training, "HELD_OUT", 1)
    for words in commands_up_to_the_last_new(name):
        small = [*words, *shlex.split(SMALL[name])]
        if "--init" in words:
            init = workplace / words[words.index("--init") + 1]
            if init.name == WIDENED:  # what today's program trains is wide from the first
                (before,) = init.parent.glob("*.safetensors")
                shutil.copy(before, init)
        assert main(["train", *small]) == 0
        config = resolved(small)
        out = Path(words[words.index("--out") + 1] if "--out" in words else f"runs/{config.name}")
        (weights,) = (workplace / out).glob("*.safetensors")
        found = json.loads(weights.with_suffix(".json").read_text())
        assert found["config"] == json.loads(json.dumps(without_machine_paths(asdict(config))))
        assert found["steps"] == 2
