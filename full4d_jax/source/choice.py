"""Chooses the options class of a command's source from SOURCE and the flags.

A source is a dataclass of options, a `SourceOptions`; a command takes a union of several.
`choose_source` picks one, and `foreign_option` explains a flag that belongs to another.
"""

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

from full4d_jax.session.errors import InputError
from full4d_jax.source.kinds import require_kind


class SourceOptions:
    """The base of the dataclasses of options of one kind of source.

    Attributes:
      path_kinds: what SOURCE, the first field, may be; "" where it may be left out.
      selecting_flags: flags that select this class among those that take the same SOURCE.
      model_needs_cameras: whether it is for models that need cameras, or for those without.
      takes_lens: whether a depth network may give the field of view, where nothing else does.
    """

    path_kinds: ClassVar[tuple[str, ...]] = ("",)
    selecting_flags: ClassVar[tuple[str, ...]] = ()
    model_needs_cameras: ClassVar[bool] = True
    takes_lens: ClassVar[bool] = False


def option_names(options: Any) -> list[str]:
    """Return the names of all options of a dataclass, those of its parts included, not SOURCE."""
    hints = get_type_hints(options)
    takes_path = any(getattr(options, "path_kinds", ()))
    names = []
    for field in fields(options)[takes_path:]:
        part = hints[field.name]
        names += option_names(part) if is_dataclass(part) else [field.name]
    return names


def choose_source(
    candidates: Sequence[Any],
    words: Sequence[str],
    path: str,
    *,
    model_needs_cameras: bool,
    for_help: bool,
) -> Any:
    """Return the options class that a command line asks for.

    Args:
      candidates: the options classes of a verb.
      words: the command line; only its flags count, not their values.
      path: SOURCE; empty where there is none.
      model_needs_cameras: see `ModelConfig`.
      for_help: whether help is printed. Without a selecting flag it shows the first class;
        everything else takes the first that needs no flag.

    Raises:
      InputError: the verb takes no such source.
    """
    fitting = _for_models(candidates, model_needs_cameras) or list(candidates)
    # SOURCE decides first, then the flags.
    path_kinds = [kind for options in fitting for kind in options.path_kinds if kind]
    kind = require_kind(Path(path), path_kinds) if path else ""
    fitting = [options for options in fitting if kind in options.path_kinds]
    flags = {flag_name(word) for word in words if is_flag(word)}
    selected = [options for options in fitting if flags.intersection(options.selecting_flags)]
    default = [options for options in fitting if for_help or not options.selecting_flags]
    return (selected or default or fitting)[0]


def foreign_option(
    unknown: Sequence[str], chosen: Any, candidates: Sequence[Any], path: str, projection: str
) -> InputError | None:
    """Return the error for an option of another class than the chosen one; None for no option.

    Args:
      unknown: the words that are no options of the chosen class; the first is looked at.
      chosen: the options class that was chosen.
      candidates: all options classes of the verb.
      path: SOURCE; empty where there is none.
      projection: `model.projection` of the config.
    """
    name = flag_name(unknown[0])
    owners = [options for options in candidates if name in option_names(options)]
    if not owners or not is_flag(unknown[0]):
        return None
    owners = _for_models(owners, chosen.model_needs_cameras)
    if not owners:
        expected = f"none, with model.projection = {projection}"
        advice = "leave it out, or give another --config"
    elif path or chosen.selecting_flags:
        expected = f"none, with {path or f'--{chosen.selecting_flags[0]}'}"
        advice = "leave one of them out"
    else:
        flags = [f"--{flag}" for flag in owners[0].selecting_flags]
        needed = flags or [kind for kind in owners[0].path_kinds if kind]
        expected = f"{needed[0]} beside it"
        advice = "add it, or leave this out"
    values = [*unknown[0].split("=")[1:], *unknown[1:]]
    value = " ".join(takewhile(lambda word: not is_flag(word), values))
    return InputError("option", f"--{name}", value, expected, advice)


def other_sources(chosen: Any, candidates: Sequence[Any]) -> str:
    """Return the lines of help on the options that other sources have beyond the chosen one's."""
    chosen_names = option_names(chosen)
    lines = ["", "Other sources (give one before --help to see all its options):"]
    for options in _for_models(candidates, chosen.model_needs_cameras):
        names = [name for name in option_names(options) if name not in chosen_names]
        if names:
            flags = " ".join(f"--{name}" for name in names)
            lines.append(f"  {flags}\n      {inspect.getdoc(options)}")
    return "\n".join(lines) + "\n"


def _for_models(candidates: Sequence[Any], needs_cameras: bool) -> list[Any]:
    """Return the options classes for models that need cameras, or for those that do not."""
    return [options for options in candidates if options.model_needs_cameras == needs_cameras]


def is_flag(word: str) -> bool:
    """Return whether a word of the command line begins an option."""
    return word.startswith("--")


def flag_name(word: str) -> str:
    """Return the name of the option that a flag on the command line gives."""
    return word.split("=")[0].lstrip("-").replace("-", "_")
