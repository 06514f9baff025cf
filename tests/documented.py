"""Shell blocks of README and docs.

A block is fenced as `sh`, or indented and begins with a program's name. `<!-- slow: WHY -->` on a
line above keeps a block from being run by a test; its full4d commands are still parsed.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
OUTSIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
OUTSIDE += [ROOT / "distributions" / "gaussians" / "README.md"]
PAGES = [*OUTSIDE, *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"(?P<slow>^<!-- slow\b[^\n]*-->\n+)?"
    r"(?:^```sh\n(?P<fenced>.*?)^```|"
    r"(?P<indented>(?:^    (?:full4d|python|pip|make|srun) [^\n]*\n(?:^     [^\n]*\n)*)+))",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """Commands that stand together."""

    place: str  # page and line
    text: str
    slow: bool

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, without comments."""
        lines = re.split(r"\n|&&", self.text.replace("\\\n", " "))
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks() -> list[Block]:
    """Return all shell blocks of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            body = match["fenced"] or match["indented"]
            found.append(Block(f"{page.name}:{line}", body, bool(match["slow"])))
    return found
