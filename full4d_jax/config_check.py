"""Checks of config fields: bounds, choices, types, and what the sampler's ask of each other."""

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


def check_sampler(config: Any) -> None:
    """What the fields of the sampler ask of each other, in a `Config`.

    Raises:
      InputError: naming the field.
    """
    sampler, model = config.sampler, config.model
    fits = sampler.group_views != 1
    require("sampler.group_views", sampler.group_views, fits, "0, or the source and more views")
    overlap, size = sampler.window_overlap, sampler.window_frames
    fewer = f"fewer than sampler.window_frames, {size}" if size else "0 without window_frames"
    require("sampler.window_overlap", overlap, overlap < max(size, 1), fewer)
    guides = sampler.steps > 1 and sampler.noise > 0
    several = "0, or several sampler.steps and sampler.noise, through which an overlap guides"
    require("sampler.window_overlap", overlap, not overlap or guides, several)
    fits = sampler.text_guidance == 1 or (
        model.text_width > 0 and config.text != config.negative_text
    )
    texts = "1, or a model with text, and a text that is not also negative_text"
    require("sampler.text_guidance", sampler.text_guidance, fits, texts)


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
