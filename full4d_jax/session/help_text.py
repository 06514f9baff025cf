"""Short help of a verb: its own options and the config fields that matter to it."""

import re
import shutil
import textwrap
from collections.abc import Collection
from typing import NamedTuple

MAX_WIDTH = 100  # columns of the terminal that help uses
TEXT_COLUMN = 24  # where the text beside a short flag starts
# An option in tyro's plain help: its flag, the kind of its value, and lines of text below.
ENTRY = re.compile(r"^  (?:-h, )?(--[\w.]+|[A-Z]+\b)(.*)\n((?: {8}.*\n)*)", re.MULTILINE)


class Shown(NamedTuple):
    """The config fields in a verb's `--help`; `--help-all` shows all.

    It stands in the annotation of the verb's `config`.

    Attributes:
      names: dotted names of fields, or of sections for all their fields.
      but: names of fields among these that are left out.
    """

    names: tuple[str, ...]
    but: tuple[str, ...] = ()

    def hides(self, name: str) -> bool:
        """Return whether `--help` leaves out the field of this dotted name."""
        if name in self.but:
            return True
        return not any(name == shown or name.startswith(f"{shown}.") for shown in self.names)


def short_help(text: str, hidden: Collection[str], first: Collection[str] = ()) -> str:
    """Return tyro's plain help without some options, in fewer lines.

    Args:
      text: the whole help, as tyro writes it into a file.
      hidden: names of options to leave out.
      first: names of options to begin with.
    """
    head = re.split(r"\n ?(?=positional|options)", text)[0]
    section = None
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    usage, *paragraphs = [line for line in head.splitlines() if re.match(r"[\w`]", line)]
    lines = [usage, ""]
    for paragraph in paragraphs:
        lines += textwrap.wrap(paragraph, width)
    # One entry an option; those of a section follow each other after an empty line.
    entries = [(flag.strip("-"), flag, *rest) for flag, *rest in ENTRY.findall(text)]
    entries = [entry for entry in entries if entry[0] not in {"help", *hidden}]
    for name, flag, kind, description in sorted(entries, key=lambda entry: entry[0] not in first):
        if section != name.rpartition(".")[0]:
            section = name.rpartition(".")[0]
            lines.append("")
        lines += _described(flag, kind, description, width)
    return "\n".join(lines)


def _described(flag: str, kind: str, text: str, width: int) -> list[str]:
    """Return the lines of one option: its flag, the kind of its value, and its help."""
    kind, *start = re.split(r" {2,}", re.sub(r"^(, --\S+)+", "", kind.rstrip()))
    flag = f"  {flag}{kind.replace('{None}|', '')}"
    text = " ".join(" ".join([*start, text]).split())
    text = re.sub(r" *\(default:( None| '')? *\)| *\(required\)", "", text)
    lines = textwrap.wrap(text, width - TEXT_COLUMN) or [""]
    if len(flag) < TEXT_COLUMN:
        lines[0] = f"{flag:<{TEXT_COLUMN}}{lines[0]}"
        return [lines[0], *(" " * TEXT_COLUMN + line for line in lines[1:])]
    return [flag, *(" " * TEXT_COLUMN + line for line in lines)]
