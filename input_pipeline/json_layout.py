"""What a file of JSON must hold, written once and checked before anything reads it.

    require_layout(index, {"version": int, "files": {str: {"bytes": int}}}, "index.json")

A layout is a type (`int`, `float` for finite numbers, `str`, `bool`), a list with the layout of its
items, a table of layouts by name (a name that ends in "?" may be missing, others beside them may be
there), a table with the one key `str` for any names, or `object` for anything.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from input_pipeline.opening import read_regular
from input_pipeline.plain_files import parse_json

WORDS = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
MAX_WHOLE_NUMBER = 2**63  # of whole numbers: what arrays can hold


def require_layout(value: Any, layout: Any, where: str) -> None:
    """Refuse JSON that does not hold what its readers read.

    Raises:
      ValueError: naming the place, what was found there and what was expected.
    """
    if layout is object:
        return
    kind = layout if isinstance(layout, type) else type(layout)
    if not _is(value, kind):
        raise ValueError(f"{where}: found {_word_of(value)}, expected {WORDS[kind]}")
    if isinstance(layout, list):
        for i, item in enumerate(value):
            require_layout(item, layout[0], f"{where}, item {i}")
    elif isinstance(layout, Mapping):
        for name, part in _parts(value, layout, where):
            require_layout(value[name], part, f"{where}, {name}")


def load_lines(path: Path, layout: Any) -> list[Any]:
    """Load the rows of a file with JSON in each line, without a last line that a kill cut short.

    Raises:
      ValueError: it is no file, or naming the line that is broken or does not hold what its readers
        read.
    """
    lines = read_regular(path).splitlines(keepends=True)
    rows = []
    for number, line in enumerate((x for x in lines if x.endswith(b"\n")), 1):
        where = f"{path}, line {number}"
        rows.append(parse_json(line, where))
        require_layout(rows[-1], layout, where)
    return rows


def _parts(value: dict[str, Any], layout: Mapping[Any, Any], where: str) -> Any:
    """Yield the names in a table that a layout speaks of, with their layouts."""
    for name, part in layout.items():
        if name is str:
            yield from ((key, part) for key in value)
            continue
        key = name.removesuffix("?")
        if key in value:
            yield key, part
        elif not name.endswith("?"):
            found = ", ".join(sorted(value)) or "nothing"
            raise ValueError(f"{where}: found {found:.200}, expected a field {key}")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) < MAX_WHOLE_NUMBER**16 and math.isfinite(value)
    if kind is int:
        return type(value) is int and abs(value) < MAX_WHOLE_NUMBER
    return isinstance(value, kind)


def _word_of(value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{WORDS[type(value)]} of {len(value)}"
    return f"{value!r:.60}"
