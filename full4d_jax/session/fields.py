"""Bounds of config fields and options as annotations, and their check.

    steps: Count = 1500
    \"\"\"Optimiser steps.\"\"\"
    azimuth: Annotated[float, Between(0, 180)] = 30.0

`check_fields` holds the fields of a dataclass, nested ones included, against their annotations:
bounds, the words of a `Literal`, and plain types. A tuple of bounded numbers must not be empty.
"""

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple

from full4d_jax.session.errors import InputError


class Between(NamedTuple):
    """Numbers from `low` to `high`; messages say `words`."""

    low: float
    high: float
    words: str = ""

    def __str__(self) -> str:
        """Return the words, or the two numbers."""
        return self.words or f"{self.low} to {self.high}"


class Streamed(NamedTuple):
    """Mark an option whose address is read or written in place, without a local copy."""


class Shown(NamedTuple):
    """The config fields in a verb's `--help`; `--help-all` shows all.

    It stands in the annotation of the verb's `config`.

    Attributes:
      names: dotted names of fields, or of sections for all their fields.
    """

    names: tuple[str, ...]


LARGEST_INT = 2**31 - 1
Count = Annotated[
    int, Between(1, LARGEST_INT, "a whole number of at least 1, below 2^31")
]
CountOrZero = Annotated[
    int, Between(0, LARGEST_INT, "a whole number of at least 0, below 2^31")
]
Share = Annotated[float, Between(0, 1, "a number from 0 to 1")]
Positive = Annotated[float, Between(1e-9, 1e9, "a finite number above 0")]
Weight = Annotated[float, Between(0, 1e9, "a finite number of at least 0")]


def check_fields(values: Any, hint: Any = None, name: str = "") -> None:
    """Refuse the first option of a dataclass, or one, that its annotation does not allow.

    Args:
      values: the dataclass, or the value of the option.
      hint: the annotation of a value.
      name: of a value.

    Raises:
      InputError: naming the option, which has no dots.
    """
    for field, value, expected in misfits(values, hint, name):
        require_option(field.rpartition(".")[2], value, False, expected)


def misfits(
    value: Any, hint: Any = None, name: str = ""
) -> Iterator[tuple[str, Any, str]]:
    """Yield dotted name, value and allowed values of each wrong field of nested dataclasses.

    Args:
      value: of a field, or a dataclass.
      hint: the annotation of the field.
      name: of the field.
    """
    if dataclasses.is_dataclass(value):
        hints = typing.get_type_hints(type(value), include_extras=True)
        for field in dataclasses.fields(value):
            dotted = f"{name}.{field.name}".lstrip(".")
            yield from misfits(getattr(value, field.name), hints[field.name], dotted)
    elif not _fits(hint, value):
        yield name, value, _words(hint)


def require(name: str, value: Any, fits: bool, expected: str) -> None:
    """Refuse the value of a config's field unless it fits.

    Raises:
      InputError: naming the field.
    """
    if not fits:
        do = f"change it in the preset or with --{name}"
        raise InputError("config", name, repr(value), expected, do)


def require_option(name: str, value: Any, fits: bool, expected: str) -> None:
    """Refuse the value of an option unless it fits.

    Raises:
      InputError: naming the option.
    """
    if not fits:
        raise InputError("option", f"--{name}", value, expected, "give another value")


def refuse(unused: Mapping[str, Any], expected: str) -> None:
    """Refuse options that would have no effect, where they are given.

    Raises:
      InputError: naming the first.
    """
    for name, value in unused.items():
        if value not in (None, ""):
            raise InputError("option", f"--{name}", value, expected, "leave it out")


def _fits(hint: Any, value: Any) -> bool:
    """Return whether an annotation allows a value."""
    kind = typing.get_origin(hint)
    parts = typing.get_args(hint)
    if kind is Annotated and (bound := _bound(hint)):
        number = type(value) is int or (type(value) is float and parts[0] is float)
        return number and bound.low <= value <= bound.high
    # Other marks are for others.
    if kind is Annotated:
        return _fits(parts[0], value)
    if kind is Literal:
        return value in parts
    if kind in (typing.Union, UnionType):
        return any(_fits(part, value) for part in parts)
    if kind is not tuple:
        return isinstance(value, hint)
    if not isinstance(value, tuple):
        return False
    if parts[-1] is not ...:
        return len(value) == len(parts) and all(map(_fits, parts, value))
    is_bounded = _bound(hint) is not None
    return bool(value or not is_bounded) and all(_fits(parts[0], x) for x in value)


def _words(hint: Any) -> str:
    """Return what an annotation allows, for a message."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return f"a tuple, each {_words(parts[0])}"
    if bound := _bound(hint):
        return str(bound)
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if typing.get_origin(hint) is Annotated:
        return _words(parts[0])
    return f"a value of type {getattr(hint, '__name__', hint)}"


def _bound(hint: Any) -> Between | None:
    """Return the first bound inside an annotation."""
    if isinstance(hint, Between):
        return hint
    bounds = (_bound(part) for part in typing.get_args(hint) if part is not ...)
    return next((bound for bound in bounds if bound), None)
