"""Checks of config fields, one by one: their bounds, their choices and their types."""

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

from full4d_jax.bounds import BOUNDS
from full4d_jax.errors import InputError


def check_fields(config: Any) -> None:
    """Hold every field of nested dataclasses against `BOUNDS`, its words or its type.

    Raises:
      InputError: naming the field.
    """
    for name, value, kind in _fields(config):
        values = _flat(value)
        if name in BOUNDS:
            fits = bool(values) and all(BOUNDS[name].holds(x) for x in values)
            require(name, value, fits, BOUNDS[name].words)
        elif choices := _choices(kind):
            require(name, value, all(x in choices for x in values), f"one of {', '.join(choices)}")
        else:
            require(name, value, isinstance(value, kind), f"a value of type {kind.__name__}")


def require(name: str, value: Any, fits: bool, expected: str) -> None:
    """Refuse the value of a field by name unless it fits.

    Raises:
      InputError: naming the field.
    """
    if not fits:
        do = f"change it in CONFIG or with --{name}"
        raise InputError("config", name, repr(value), expected, do)


def _fields(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Dotted name, value and type of everything in nested dataclasses."""
    for field in dataclasses.fields(config):
        name, value = prefix + field.name, getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{name}.")
        else:
            yield name, value, field.type


def _flat(value: Any) -> list[Any]:
    return [x for item in value for x in _flat(item)] if isinstance(value, tuple) else [value]


def _choices(kind: Any) -> tuple[str, ...]:
    """The words of a Literal or of a tuple of Literals; of other types none."""
    words = tuple(word for part in get_args(kind) for word in (get_args(part) or (part,)))
    return tuple(word for word in words if isinstance(word, str))
