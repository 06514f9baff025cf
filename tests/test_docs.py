"""Commands in README and docs parse, Python examples run, links lead somewhere."""

import doctest
import re
import shlex

import pytest
from documented import OUTSIDE, PAGES, ROOT, blocks
from documented_world import sketch

from full4d_jax.cli import functions_of, read_options

FILES_OF_USERS = {"gaussians.py", "input_pipeline.py", "scripts/export.py"}
PLACEHOLDERS = {"PRESET": "demo", "FILE.py": "configs/demo.py"}
PLACEHOLDERS |= {"MODE": "fused", "NAME": "pixels"}
FLAGS = re.DOTALL | re.MULTILINE


def commands() -> dict[str, str]:
    """Every `full4d VERB ...` in blocks and in the text, and a place that has it."""
    found = {}
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=FLAGS)
        spans = re.findall(r"(?<!`)`(full4d [^`]*)`", prose)
        found |= {" ".join(span.split()): page.name for span in spans}
    for block in blocks():
        # full4d may follow a launcher such as srun, or its quotes.
        for words in block.commands:
            if ours := re.search(r"full4d (?!')[^']*", shlex.join(words)):
                found[ours[0].strip()] = block.place
    return {line: place for line, place in found.items() if "VERB" not in line}


@pytest.mark.parametrize("line", commands())
def test_every_command_parses(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    typed = shlex.split(line, comments=True)
    sketch(typed)
    words = [PLACEHOLDERS.get(word, word) for word in typed[1:]]
    is_whole = "..." not in words and len(words) > 1  # or the text only names a command
    verb, *rest = (word for word in words if word != "...")
    verb = verb.replace("-", "_")
    functions = functions_of(verb)
    if verb not in functions and rest:
        verb, *rest = rest
    assert verb in functions or not is_whole
    if is_whole and rest:
        assert read_options(functions[verb], line, rest) is not None


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "\n```python\n" in page.read_text()]
)
def test_python_blocks_run_or_compile(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), FLAGS)
    examples = "\n".join(block for block in blocks if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(examples, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(test).failed == 0
    for block in blocks:
        if ">>>" not in block:  # needs files of the reader's
            compile(block, page.name, "exec")


@pytest.mark.parametrize("page", OUTSIDE)  # mkdocs --strict follows those of docs
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_files_and_functions_that_documents_name_exist():
    """`path.py` or `path.py: name`, where a path may leave out its first folders."""
    files = [path for path in ROOT.rglob("*.py") if ".venv" not in path.parts]
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    text = "".join(page.read_text() for page in pages if page.name != "CHANGELOG.md")
    references = set(re.findall(r"`([\w/]+\.py)(?::\s+([\w.]+))?`", text))
    assert ("grid.py", "Origin") in references
    for file, name in sorted(references):
        if file in FILES_OF_USERS:
            continue
        there = [path for path in files if path.as_posix().endswith(f"/{file}")]
        assert there, file
        definition = rf"^\s*(?:(?:def|class) )?{name.rpartition('.')[-1]}\b"
        texts = [path.read_text() for path in there]
        assert any(re.search(definition, text, re.MULTILINE) for text in texts), name
