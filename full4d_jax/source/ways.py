"""Ways in: dataclasses of options, of which SOURCE and the flags of a command line choose one.

`chosen_way` chooses; flags of another way in are refused (`foreign_option`).
"""

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from full4d_jax.session.errors import InputError
from full4d_jax.source.kinds import require_kind


class Way:
    """What the dataclass of a way in says of itself.

    Attributes:
      kinds: what SOURCE may be, its first field; "" where it may be left out.
      keys: flags of which one asks for this way in, if several take the same SOURCE.
      posed: whether the model must know cameras, or must not.
    """

    kinds: ClassVar[tuple[str, ...]] = ("",)
    keys: ClassVar[tuple[str, ...]] = ()
    posed: ClassVar[bool] = True


def source_field(way: Any) -> str:
    """Return the name of the field that SOURCE is; empty where the way in takes none."""
    return fields(way)[0].name if any(getattr(way, "kinds", ())) else ""


def names(way: Any) -> list[str]:
    """Return the names of all options of a way in, those of its parts included, not SOURCE."""
    kinds = get_type_hints(way)
    own = [field.name for field in fields(way) if field.name != source_field(way)]
    parts = [names(kinds[name]) if is_dataclass(kinds[name]) else [name] for name in own]
    return [name for part in parts for name in part]


def chosen_way(
    ways: Sequence[Any], words: Sequence[str], source: str, *, posed: bool, shown: bool
) -> Any:
    """Return the way in that the words ask for.

    Args:
      ways: the ways in of a verb.
      words: the command line; only its flags count, not their values.
      source: the path of the source; empty where none is given.
      posed: whether the model knows cameras.
      shown: whether help is asked for; without a telling flag it shows the first way, everything
        else takes the one that needs no flag.

    Raises:
      InputError: the verb takes no such source.
    """
    given = {flag_name(word) for word in words if is_flag(word)}
    fitting = [way for way in ways if way.posed == posed] or list(ways)
    known = [kind for way in fitting for kind in way.kinds if kind]
    kind = require_kind(Path(source), known) if source else ""
    fitting = [way for way in fitting if kind in way.kinds]
    asked = [way for way in fitting if given.intersection(way.keys)]
    usual = [way for way in fitting if shown or not way.keys]
    return (asked or usual or fitting)[0]


def foreign_option(
    unknown: Sequence[str], way: Any, ways: Sequence[Any], source: str, projection: str
) -> InputError | None:
    """Return the error for an option of another way in than the chosen one; None for others.

    Args:
      unknown: the words that are no options of the chosen way; the first is looked at.
      way: the way in that was chosen.
      ways: all ways in of the verb.
      source: the path of the source; empty where none is given.
      projection: `model.projection` of the config.
    """
    name = flag_name(unknown[0])
    owners = [other for other in ways if name in names(other)]
    alike = [owner for owner in owners if owner.posed == way.posed]
    if not owners or not is_flag(unknown[0]):
        return None
    if not alike:
        expected = f"none, with model.projection = {projection}"
        do = "leave it out, or give another --config"
    elif source or way.keys:
        expected = f"none, with {source or f'--{way.keys[0]}'}"
        do = "leave one of them out"
    else:
        needed = [f"--{key}" for key in alike[0].keys] or [*filter(None, alike[0].kinds)]
        expected = f"{needed[0]} beside it"
        do = "add it, or leave this out"
    values = [*unknown[0].split("=")[1:], *unknown[1:]]
    value = " ".join(takewhile(lambda word: not is_flag(word), values))
    return InputError("option", f"--{name}", value, expected, do)


def other_ways(way: Any, ways: Sequence[Any]) -> str:
    """Return the lines of help on the ways in beside the chosen one."""
    own, lines = names(way), ["", "Other sources (give one before --help to see all its options):"]
    for other in ways:
        flags = " ".join(f"--{name}" for name in names(other) if name not in own)
        if other.posed == way.posed and flags:
            lines.append(f"  {flags}\n      {inspect.getdoc(other)}")
    return "\n".join(lines) + "\n"


def is_flag(word: str) -> bool:
    """Return whether a word of the command line begins an option."""
    return word.startswith("--")


def flag_name(word: str) -> str:
    """Return the name of the option that a flag on the command line gives."""
    return word.split("=")[0].lstrip("-").replace("-", "_")
