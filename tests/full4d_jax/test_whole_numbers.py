"""Every whole number of every command has bounds, which are read before anything is made."""

from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, get_args, get_type_hints

import pytest
from refused import refusal

from full4d_jax import cli
from full4d_jax.session.fields import LARGEST_INT, Between

COMPARED_LATER = {"views"}  # of `lift`, with those of the data set, for which none may be chosen


def parts(annotation: Any) -> Iterator[Any]:
    """Yield an annotation and all that it is made of."""
    yield annotation
    for part in get_args(annotation):
        yield from parts(part)


def fields(kind: Any) -> Iterator[tuple[str, Any]]:
    """Yield name and annotation of the options of a function, and of dataclasses among them."""
    for name, hint in get_type_hints(kind, include_extras=True).items():
        inner = [part for part in parts(hint) if isinstance(part, type) and is_dataclass(part)]
        if not inner:
            yield name, hint
        for part in inner:
            yield from fields(part)


def test_every_whole_number_has_a_bound():
    functions = [function for verb in cli.verbs() for function in cli.functions_of(verb).values()]
    numbers = [
        (name, hint) for each in functions for name, hint in fields(each) if int in parts(hint)
    ]
    assert len(numbers) > 60
    for name, hint in numbers:
        bounds = [part for part in parts(hint) if isinstance(part, Between)]
        assert bounds or name in COMPARED_LATER, name
        assert all(-LARGEST_INT <= bound.low <= bound.high <= LARGEST_INT for bound in bounds)


@pytest.mark.parametrize(
    "words",
    [
        "data procedural --out worlds --scenes 99999999999",
        "data import capture --out imported --jobs -1",
        "convert splats scene.ply x.html --instants 0",
        "view --port 99999",
        "run --rows 0",
    ],
)
def test_a_number_out_of_bounds_is_refused(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    *_, option, value = words.split()
    assert f"option: {option}: found {value}, expected" in refusal(capsys, *words.split())
    assert not list(tmp_path.iterdir())
