"""The config that lies in the folder of a run, as JSON; another version may have written it."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from full4d_jax.config.experiment import DEFAULT
from full4d_jax.session.errors import InputError
from full4d_jax.session.fields import table_of

MOST_NAMED = 4


def check_saved(saved: Any, where: str) -> str:
    """Refuse a saved config with values that no config can have.

    Returns:
      A line that names fields which are missing or foreign to this version; empty for none.

    Raises:
      InputError: naming the field.
    """
    unexpected = list(_differences(DEFAULT, saved, "", where))
    more = f" and {len(unexpected) - MOST_NAMED} more" if len(unexpected) > MOST_NAMED else ""
    named = ", ".join(unexpected[:MOST_NAMED])
    return f"{where} has {named}{more}: of another version, or edited" if unexpected else ""


def _differences(known: Any, saved: Any, prefix: str, where: str) -> Iterator[str]:
    """Yield which fields of a dataclass a table lacks, and which others it has; check the rest."""

    def refused(name: str, found: object, expected: object) -> InputError:
        do = "run full4d sample there again"
        place = f"{where}, {prefix}{name}".rstrip("., ")
        return InputError("saved config", place, found, expected, do)

    if not isinstance(saved, dict):
        raise refused("", type(saved).__name__, "a table of fields")
    names = {field.name for field in dataclasses.fields(known)}
    yield from (f"no {prefix}{name}" for name in sorted(names - saved.keys()))
    yield from (f"an unknown {prefix}{name:.60}" for name in sorted(saved.keys() - names))
    parts = {x for x in names & saved.keys() if dataclasses.is_dataclass(getattr(known, x))}
    table_of(type(known), {x: value for x, value in saved.items() if x not in parts}, refused)
    for name in sorted(parts):
        yield from _differences(getattr(known, name), saved[name], f"{prefix}{name}.", where)
