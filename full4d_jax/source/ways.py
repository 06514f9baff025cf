"""Which way in the flags of a command line mean, and what is said of those of the others.

The given flags tell which dataclass of `options` is meant (`chosen_way`); flags of another one are
refused (`foreign_option`).
"""

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import takewhile
from typing import Any, get_type_hints

from full4d_jax.session.errors import InputError


def names(way: Any) -> list[str]:
    """Return the names of all options of a way in, those of its parts included."""
    kinds = get_type_hints(way)
    parts = [kinds[field.name] for field in fields(way)]
    found = zip(parts, fields(way), strict=True)
    return [name for kind, x in found for name in (names(kind) if is_dataclass(kind) else [x.name])]


def chosen_way(ways: Sequence[Any], words: Sequence[str], *, posed: bool, shown: bool) -> Any:
    """Return the way in that the given flags ask for.

    Args:
      ways: the ways in of a verb.
      words: the command line; only its flags count, not their values.
      posed: whether the model knows cameras.
      shown: whether help is asked for; without a telling flag it shows the first way, everything
        else takes the one that needs no flag.
    """
    given = {_name(word) for word in words if _is_flag(word)}
    fitting = [way for way in ways if way.posed == posed] or list(ways)
    asked = [way for way in fitting if set(way.keys) & given]
    return (asked or [way for way in fitting if shown or not way.keys])[0]


def foreign_option(
    unknown: Sequence[str], way: Any, ways: Sequence[Any], projection: str
) -> InputError | None:
    """Return the error for an option of another way in than the chosen one; None for others.

    Args:
      unknown: the words that are no options of the chosen way; the first is looked at.
      way: the way in that was chosen.
      ways: all ways in of the verb.
      projection: `model.projection` of the config.
    """
    name = _name(unknown[0])
    owners = [other for other in ways if name in names(other)]
    alike = [owner for owner in owners if owner.posed == way.posed]
    if not owners or not _is_flag(unknown[0]):
        return None
    if not alike:
        expected = f"none, with model.projection = {projection}"
        do = "leave it out, or give another CONFIG"
    elif way.keys:
        expected, do = f"none, with --{way.keys[0]}", "leave one of them out"
    else:
        expected, do = f"a --{alike[0].keys[0]} beside it", "add it, or leave this out"
    values = [*unknown[0].split("=")[1:], *unknown[1:]]
    value = " ".join(takewhile(lambda word: not _is_flag(word), values))
    return InputError("option", f"--{name}", value, expected, do)


def other_ways(way: Any, ways: Sequence[Any]) -> str:
    """Return the lines of help on the ways in beside the chosen one."""
    own, lines = names(way), ["", "Other sources (add the flag to --help to see all options):"]
    for other in ways:
        flags = " ".join(f"--{name}" for name in names(other) if name not in own)
        if other.posed == way.posed and flags:
            lines.append(f"  {flags}\n      {inspect.getdoc(other)}")
    return "\n".join(lines) + "\n"


def _is_flag(word: str) -> bool:
    return word.startswith("--")


def _name(word: str) -> str:
    """Return the name of the option that a flag on the command line gives."""
    return word.split("=")[0].lstrip("-").replace("-", "_")
