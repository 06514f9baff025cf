"""Commands in README and docs: shell blocks, and how slow ones say so.

A block is fenced as `sh`, or indented and begins with a program's name. One that a test should not
always run has a line above it, with its last recorded run or why there is none:

    <!-- slow: 2026-11-21, 82 s -->
    <!-- slow: not run, needs a TPU pod -->
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
PROGRAMS = "full4d|python|pip|make|srun"
BLOCK = re.compile(
    r"(?:^<!-- slow: (?P<slow>[^\n]+) -->\n+)?"
    r"(?:^```sh\n(?P<fenced>.*?)^```|"
    rf"(?P<indented>(?:^    (?:{PROGRAMS}) [^\n]*\n(?:^     [^\n]*\n)*)+))",
    re.DOTALL | re.MULTILINE,
)
RECORDED = re.compile(r"\d{4}-\d\d-\d\d, \d+ s\b|not run\b.")


@dataclass(frozen=True)
class Block:
    """Commands that stand together; `slow` is what the line above says, or nothing."""

    page: str
    line: int
    text: str
    slow: str

    @property
    def commands(self) -> list[list[str]]:
        """Words of every command, without comments."""
        text = self.text.replace("\\\n", " ")
        lines = [part for line in text.splitlines() for part in line.split("&&")]
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks() -> list[Block]:
    """All shell blocks of all pages."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            body = match["fenced"] or match["indented"]
            found.append(Block(page.name, line, body, match["slow"] or ""))
    return found


def name(block: Block) -> str:
    """Of a test."""
    return f"{block.page}:{block.line}"
