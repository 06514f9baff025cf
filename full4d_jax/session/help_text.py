"""Which fields of a config the help of a verb shows."""

import dataclasses
from typing import Any, NamedTuple

import tyro


class Shown(NamedTuple):
    """The config fields in a verb's `--help`; `--help-all` shows all.

    It stands in the annotation of the verb's `config`.

    Attributes:
      names: dotted names of fields, or of sections for all their fields.
    """

    names: tuple[str, ...]


def hide_fields(values: Any, shown: Shown, prefix: str = "") -> Any:
    """Return a dataclass of the same values of which tyro's help shows the chosen fields alone."""
    fields = []
    for field in dataclasses.fields(values):
        name = prefix + field.name
        value = getattr(values, field.name)
        if name in shown.names:
            continue
        if any(other.startswith(f"{name}.") for other in shown.names):
            value = hide_fields(value, shown, f"{name}.")
            kind: Any = type(value)
        else:
            kind = tyro.conf.Suppress[field.type]
        fields.append((field.name, kind, dataclasses.field(default=value)))
    kind = type(values)
    part = dataclasses.make_dataclass(
        kind.__name__, fields, bases=(kind,), namespace={"__doc__": kind.__doc__}, frozen=True
    )
    return part(**{name: value for name, value in vars(values).items() if name in shown.names})
