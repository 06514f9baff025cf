"""What the documents say exists: every command parses, every link leads somewhere, every message is
one that the program prints, every Python block runs."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest

from full4d_jax.cli import _functions, read_options

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])
PLACEHOLDERS = {"CONFIG": "configs/demo.py"}


def code(page: Path, kind: str) -> list[str]:
    """Fenced blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def only_ours(line: str) -> str:
    """From `full4d` on, after a launcher such as srun."""
    start = re.search(r"(?:^|[\s\"])(full4d .*)", line)
    return start[1].rstrip('"') if start and not line.startswith(("#", "pip", "unzip")) else ""


def commands() -> list[tuple[str, str]]:
    """Every `full4d ...` line of the pages' shell blocks and indented blocks."""
    found = []
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        blocks += re.findall(r"^    (full4d .*)$", text, re.MULTILINE)
        lines = (line.strip() for block in blocks for line in re.split(r"\n|&&", block))
        found += [(page.name, line) for line in map(only_ours, lines) if line]
    return found


def test_there_are_commands():
    assert len(commands()) > 50


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_parses(page, line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    if "VERB" in words[0]:
        return
    verb, rest = words[0].replace("-", "_"), words[1:]
    module = importlib.import_module(f"full4d_jax.commands.{verb}")
    functions = _functions(module)
    if verb not in functions:
        verb, rest = rest[0], rest[1:]
    if "--help" in rest:
        rest.remove("--help")
    assert read_options(functions[verb], line, rest) is not None


@pytest.mark.parametrize(
    "page", [page for page in PAGES if code(page, "python")], ids=lambda page: page.name
)
def test_python_blocks_run_or_compile(page):
    blocks = code(page, "python")
    examples = "\n".join(block for block in blocks if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(test).failed == 0
    for block in blocks:
        if ">>>" not in block:  # needs files of the reader's
            compile(block, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def messages() -> list[str]:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    return re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)


@pytest.mark.parametrize("message", messages())
def test_messages_of_the_troubleshooting_page_are_the_programs(message):
    packages = ("full4d_jax", "gaussians", "input_pipeline")
    sources = [path.read_text() for name in packages for path in (ROOT / name).rglob("*.py")]
    assert any(message in source for source in sources)
