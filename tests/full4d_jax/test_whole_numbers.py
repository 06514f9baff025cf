"""Whole numbers of commands: what no machine holds, and what counts nothing, is refused soon."""

import time
from collections.abc import Iterator
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from full4d_jax import cli
from full4d_jax.media.video import write_video
from full4d_jax.session.fields import MOST, Between

SECONDS = 10  # of the processor that a refusal may take
HUGE = "99999999999"
# By command: the words before the option, whose files `here` makes where they are looked at first.
WORDS = {
    "convert splats": ["scene.ply", "x.html"],
    "data import": ["capture", "--out", "imported"],
    "data procedural": ["--out", "worlds"],
    "data gltf": ["assets", "--out", "rendered"],
    "data depth": ["data", "--out", "deep"],
    "data encode": ["--dataset", "data", "--out", "encoded"],
    "data check": ["data"],
    "depth": ["in.mp4"],
    "inspect": [],
    "view": ["scene.ply"],
}
# Options for which 0 has a meaning, which their help tells.
NONE_IS_MEANT = {
    ("data procedural", "first"),
    ("data import", "shards"),
    ("data procedural", "shards"),
    ("data gltf", "shards"),
    ("data depth", "shards"),
    ("data encode", "shards"),
    ("data check", "clips"),
    ("inspect", "devices"),
    ("view", "port"),
}
COMPARED_LATER = {"views"}  # of `lift`, with those of the data set, for which none may be chosen


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the words and the function of every command."""
    for verb in cli.verbs():
        module = import_module(f"full4d_jax.commands.{verb}")
        for name, function in cli._functions(module).items():
            yield verb if name == verb else f"{verb} {name}", function


def parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def options_classes(annotation: Any) -> list[Any]:
    """Return the dataclasses in an annotation; marks on it are objects."""
    return [part for part in parts(annotation) if isinstance(part, type) and is_dataclass(part)]


def fields(kind: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and annotation of the fields of a dataclass, and of those in it."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        inner = options_classes(hint)
        if not inner:
            yield name, hint
        for part in inner:
            yield from fields(part)


def whole_numbers() -> list[tuple[str, str]]:
    """Return command and name of every parameter that is a whole number."""
    return [
        (words, name)
        for words, function in commands()
        for name, hint in get_type_hints(function, include_extras=True).items()
        if int in parts(hint)
    ]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with what commands look at before their numbers."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "capture").mkdir()
    (tmp_path / "scene.ply").touch()
    write_video(tmp_path / "in.mp4", np.zeros((2, 32, 32, 3), np.uint8), 2)


@pytest.mark.parametrize(("words", "name"), whole_numbers())
def test_no_command_takes_a_number_that_it_cannot_mean(words, name, here, capsys):
    least = "-1" if (words, name) in NONE_IS_MEANT else "0"
    for value in (HUGE, "-1", least):
        start = time.process_time()
        assert cli.main([*words.split(), *WORDS[words], f"--{name}", value]) == 2
        assert time.process_time() - start < SECONDS
        (line,) = capsys.readouterr().err.splitlines()
        assert f"--{name}" in line
        assert f"found {value}" in line or f"found scenes {value}" in line


def test_every_whole_number_of_the_options_has_a_bound():
    kinds = {
        kind
        for _, function in commands()
        for hint in get_type_hints(function, include_extras=True).values()
        for kind in options_classes(hint)
    }
    count = 0
    for name, hint in (field for kind in kinds for field in fields(kind)):
        if int not in parts(hint):
            continue
        count += 1
        bounds = [part for part in parts(hint) if isinstance(part, Between)]
        if not bounds:
            assert name in COMPARED_LATER
        assert all(-MOST <= bound.low <= bound.high <= MOST for bound in bounds)
    assert count > 60
