"""What the documents say exists: every command parses, every link leads somewhere, every message is
one that the program prints, every Python block runs, every public module is in the API.

`test_docs_run.py` runs the commands.
"""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
from documented import PAGES, ROOT, blocks

from full4d_jax.cli import _functions, read_options

PACKAGES = ("full4d_jax", "gaussians", "input_pipeline")
PLACEHOLDERS = {"CONFIG": "configs/demo.py", "MODE": "fused", "NAME": "pixels"}


def code(page: Path, kind: str) -> list[str]:
    """Fenced blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> dict[str, str]:
    """Every `full4d VERB ...` in blocks and in the text, and a page that has it."""
    found = {}
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        spans = re.findall(r"(?<!`)`(full4d [^`]*)`", prose)
        found |= {" ".join(span.split()): page.name for span in spans}
    for block in blocks():
        for words in block.commands:
            # After a launcher such as srun, or in its quotes.
            ours = re.search(r"full4d (?!')[^']*", shlex.join(words))
            found |= {ours[0].strip(): block.page} if ours else {}
    return {line: page for line, page in found.items() if "VERB" not in line}


def test_there_are_commands():
    assert len(commands()) > 100


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    is_whole = "..." not in words and len(words) > 1  # or the text names a command only
    verb, *rest = (word for word in words if word != "...")
    verb = verb.replace("-", "_")
    functions = _functions(importlib.import_module(f"full4d_jax.commands.{verb}"))
    if verb not in functions and rest:
        verb, *rest = rest
    assert verb in functions or not is_whole
    if is_whole and rest:
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
    sources = [path.read_text() for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    assert any(message in source for source in sources)


def modules_below(module) -> set[str]:
    """Names of a module and of all that the site's pages find in it, as griffe has loaded them."""
    inside = [modules_below(x) for x in module.modules.values() if not x.is_alias]
    return {module.path}.union(*inside)


def test_every_public_module_is_reached_from_the_api():
    griffe = pytest.importorskip("griffe", reason="needs the extra `docs`")
    reached = set()
    for target in re.findall(r"\]\((api_\w+\.md)\)", (ROOT / "docs" / "api.md").read_text()):
        page = (ROOT / "docs" / target).read_text()
        name = re.search(r"^::: (\w+)$", page, re.MULTILINE)
        assert name, f"{target} shows no package"
        assert "show_submodules: true" in page
        loaded = griffe.load(name[1], search_paths=[ROOT], allow_inspection=False)
        reached |= modules_below(loaded)
    files = [path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py")]
    there = {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files}
    assert there - reached == set()
    assert reached - there == set()
